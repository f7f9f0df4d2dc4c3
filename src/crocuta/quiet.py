"""Quiet libraries: what the user must know, crocuta says itself."""


def prepare() -> None:
    """Silences the libraries' progress bars and warnings, in this process."""
    import os
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module=r"torch|transformers|sklearn")
