"""Checks that many configurations make; each error names the setting, its value and what it must be."""

from gen_dist.types import DataSpec


def check_at_least_one(config: object, *names: str, path: str = "model") -> None:
    """Raise ValueError for the first of these settings that is below 1; `path` is where the configuration stands."""
    for name in names:
        value = getattr(config, name)
        if value < 1:
            raise ValueError(f"{path}.{name} is {value}: it must be at least 1")


def check_first_kernel(kernel_size: int) -> None:
    """Raise ValueError unless a kernel that hides its centre is odd and sees anything."""
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise ValueError(f"model.first_kernel_size is {kernel_size}: it must be odd and at least 3")


def check_colours_divide(data: DataSpec, **widths: int) -> None:
    """Raise ValueError for the first number of feature maps that colours do not cut into equal blocks."""
    for name, width in widths.items():
        if width % data.channels:
            raise ValueError(
                f"model.{name} is {width}: images with {data.channels} colours need a multiple of {data.channels}"
            )
