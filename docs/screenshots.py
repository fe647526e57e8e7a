"""Takes the pictures of docs/pictures: MLflow's pages of a study and of a registered model.

Run, in a folder where a study was made with `gen-dist tune` (its mlflow.db lies there):
    python -m venv /tmp/shots && /tmp/shots/bin/pip install playwright pillow
    /tmp/shots/bin/python docs/screenshots.py --mlflow http://127.0.0.1:5000 --study tune-digits \
        --model gen-dist-digits --out docs/pictures

A browser must be installed (`apt-get install chromium`; --browser names another one), and MLflow must be running
(`gen-dist ui`). With --ray, the address of a dashboard, the page of its jobs is taken too; --ray-token names the file
of its token. Look at the pictures before you commit them.
"""

import argparse
import io
import json
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT = 1400, 860
COLOURS = 128
SETTLE_MILLISECONDS = 4000


def ask(server: str, path: str, **question: object) -> dict:
    """What MLflow answers."""
    request = urllib.request.Request(  # noqa: S310
        f"{server}/api/2.0/mlflow/{path}", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def study_of(server: str, experiment: str, name: str) -> tuple[str, str, list[str]]:
    """The experiment, the study's run, and those of its trials."""
    with urllib.request.urlopen(  # noqa: S310
        f"{server}/api/2.0/mlflow/experiments/get-by-name?experiment_name={experiment}"
    ) as answer:
        number = json.load(answer)["experiment"]["experiment_id"]
    runs = ask(server, "runs/search", experiment_ids=[number], max_results=1000)["runs"]
    names = {run["info"]["run_name"]: run["info"]["run_id"] for run in runs}
    return number, names[name], [run for label, run in sorted(names.items()) if label.startswith(f"{name}/t")]


def take(page: Page, address: str, file: Path) -> None:
    """One picture, in few colours: it lies in the repository."""
    page.goto(address)
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    for label in ("Close", "Dismiss", "Got it"):
        for button in page.get_by_role("button", name=label, exact=True).all():
            if button.is_visible():
                button.click()
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    image.quantize(COLOURS).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size:,} bytes")


def main() -> None:
    """All pages, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mlflow", default="http://127.0.0.1:5000")
    parser.add_argument("--experiment", default="gen_dist")
    parser.add_argument("--study", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ray")
    parser.add_argument("--ray-token", type=Path)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    server, out = arguments.mlflow, arguments.out
    out.mkdir(parents=True, exist_ok=True)
    experiment, study, trials = study_of(server, arguments.experiment, arguments.study)
    if not trials:
        parser.error(f"the study {arguments.study} has no trials in MLflow yet: wait for its end")
    compared = json.dumps(trials).replace('"', "%22")
    pages = {
        "study": f"{server}/#/experiments/{experiment}/runs/{study}",
        "report": f"{server}/#/experiments/{experiment}/runs/{study}/artifacts/report.html",
        "runs": f"{server}/#/experiments/{experiment}/runs",
        "trials": f"{server}/#/compare-runs?runs={compared}&experiments=[%22{experiment}%22]",
        "samples": f"{server}/#/experiments/{experiment}/runs/{trials[0]}/artifacts/samples.png",
        "model": f"{server}/#/models/{arguments.model}",
        "version": f"{server}/#/models/{arguments.model}/versions/1",
    }
    if arguments.ray:
        pages["jobs"] = f"{arguments.ray}/#/jobs"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for name, address in pages.items():
            if name == "jobs" and arguments.ray_token:
                page.set_extra_http_headers({"Authorization": f"Bearer {arguments.ray_token.read_text().strip()}"})
            take(page, address, out / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
