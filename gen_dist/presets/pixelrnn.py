"""PixelRNN: Row LSTM and Diagonal BiLSTM."""

from gen_dist.config import RunConfig, override
from gen_dist.models.autoregressive.pixelrnn import PixelRNNConfig
from gen_dist.optimization import Adam, RMSprop
from gen_dist.presets.preset import Preset, cosine
from gen_dist.training.settings import TrainingConfig


def pixelrnn_row_8() -> RunConfig:
    """For 8x8 digits."""
    images = 60_000
    return RunConfig(
        model=PixelRNNConfig(
            architecture="row-lstm",
            features=48,
            num_layers=3,
            first_kernel_size=7,
            output_features=64,
            optimizer=Adam(learning_rate=6e-3),
            schedule=cosine(images),
            ema_decay=0.999,
        ),
        training=TrainingConfig(images=images, batch_size=64),
    )


def pixelrnn_diagonal_8() -> RunConfig:
    """For 8x8 digits."""
    return override(pixelrnn_row_8(), {"model.architecture": "diagonal-bilstm", "model.num_layers": 2})


def pixelrnn_row_28() -> RunConfig:
    """For 28x28 images."""
    images = 30_000
    return RunConfig(
        model=PixelRNNConfig(
            architecture="row-lstm",
            features=32,
            num_layers=4,
            first_kernel_size=7,
            output_features=32,
            optimizer=Adam(learning_rate=3e-3),
            schedule=cosine(images),
            ema_decay=0.99,
        ),
        training=TrainingConfig(images=images, batch_size=16, precision="auto", channels_last=True),
    )


def pixelrnn_diagonal_28() -> RunConfig:
    """For 28x28 images: twice the steps of the Row LSTM, so fewer layers and images."""
    images = 20_000
    changes = {
        "model.architecture": "diagonal-bilstm",
        "model.num_layers": 3,
        "model.schedule.decay_end_images": images,
        "training.images": images,
    }
    return override(pixelrnn_row_28(), changes)


def pixelrnn_row_bernoulli_8() -> RunConfig:
    """For 8x8 digits, thresholded."""
    return override(pixelrnn_row_8(), {"model.likelihood": "bernoulli"})


def pixelrnn_diagonal_bernoulli_8() -> RunConfig:
    """For 8x8 digits, thresholded."""
    return override(pixelrnn_diagonal_8(), {"model.likelihood": "bernoulli"})


def pixelrnn_row_bernoulli_28() -> RunConfig:
    """For 28x28 images, thresholded."""
    return override(pixelrnn_row_28(), {"model.likelihood": "bernoulli"})


def pixelrnn_diagonal_bernoulli_28() -> RunConfig:
    """For 28x28 images, thresholded."""
    return override(pixelrnn_diagonal_28(), {"model.likelihood": "bernoulli"})


def pixelrnn_row_32() -> RunConfig:
    """The paper's network for CIFAR-10, for large machines. The paper states no learning rate."""
    return RunConfig(
        model=PixelRNNConfig(
            architecture="row-lstm",
            features=258,  # 2h; 129 falls into three colours and the paper's 128 does not
            num_layers=12,
            first_kernel_size=7,
            output_features=1023,  # the paper's 1024, for the same reason
            optimizer=RMSprop(learning_rate=5e-4),
            ema_decay=0.9999,
        ),
        training=TrainingConfig(images=10_000_000, batch_size=16, precision="auto", channels_last=True),
    )


def pixelrnn_diagonal_32() -> RunConfig:
    """The paper's network for CIFAR-10, for large machines."""
    return override(pixelrnn_row_32(), {"model.architecture": "diagonal-bilstm"})


PRESETS: tuple[Preset, ...] = (
    Preset(name="pixelrnn-row-8", summary="Row LSTM of 8x8 images (digits), 256-way softmax", build=pixelrnn_row_8),
    Preset(
        name="pixelrnn-diagonal-8",
        summary="Diagonal BiLSTM of 8x8 images (digits), 256-way softmax",
        build=pixelrnn_diagonal_8,
    ),
    Preset(name="pixelrnn-row-28", summary="Row LSTM of 28x28 images, 256-way softmax", build=pixelrnn_row_28),
    Preset(
        name="pixelrnn-diagonal-28",
        summary="Diagonal BiLSTM of 28x28 images, 256-way softmax",
        build=pixelrnn_diagonal_28,
    ),
    Preset(
        name="pixelrnn-row-bernoulli-8",
        summary="Row LSTM of 8x8 black-and-white images (digits)",
        build=pixelrnn_row_bernoulli_8,
    ),
    Preset(
        name="pixelrnn-diagonal-bernoulli-8",
        summary="Diagonal BiLSTM of 8x8 black-and-white images (digits)",
        build=pixelrnn_diagonal_bernoulli_8,
    ),
    Preset(
        name="pixelrnn-row-bernoulli-28",
        summary="Row LSTM of 28x28 black-and-white images",
        build=pixelrnn_row_bernoulli_28,
    ),
    Preset(
        name="pixelrnn-diagonal-bernoulli-28",
        summary="Diagonal BiLSTM of 28x28 black-and-white images",
        build=pixelrnn_diagonal_bernoulli_28,
    ),
    Preset(
        name="pixelrnn-row-32",
        summary="Row LSTM of 32x32 colour images at the paper's size",
        build=pixelrnn_row_32,
    ),
    Preset(
        name="pixelrnn-diagonal-32",
        summary="Diagonal BiLSTM of 32x32 colour images at the paper's size",
        build=pixelrnn_diagonal_32,
    ),
)
