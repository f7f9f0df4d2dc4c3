"""Names that modules had in earlier versions: they work for one release more, and say once where to look."""

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Beginnings of names, and what stands there now.
PREFIXES = {
    "data.variants.": "variants.",
    "train.local_ancestry_": "ancestry.local.",
    "nn.lorentz_": "nn.lorentz.",
    "nn.poincare_": "nn.poincare.",
    "analysis.ancestry.": "ancestry.methods.",
    "train.pretraining_": "pretraining.",
    "nn.graph_": "nn.graph.",
    "models.ancestry_": "models.ancestry.",
}
#: Package before, package now, modules; `old=new` where the name itself is another; `-`: crocuta itself.
MODULES = """
train runs seeds load
- - train=classification
train classification adapt adapt_prompts=_adapt_prompts adapt_weights=_adapt_weights baselines boosted
    experiment finetuning fit=_fit labels=_labels trainer=_trainer trial=cost run
train pretraining pretraining=training warmup=lengths generation generation_cost
report pretraining pretraining=page
train embedding features embed=shards embed_cost=cost embedding_file=file probe
data embedding pieces
train ancestry ancestry_panels=panels ancestry_sites=sites ancestry_evidence=evidence ancestry_windows=windows
    ancestry_infer=infer ancestry_states=states ancestry=window_training ancestry_run=window_run
    ancestry_along=along ancestry_windows_infer=window_infer ancestry_cost=cost cohorts
report ancestry ancestry=figures karyogram
train ancestry.local local_ancestry=training
analysis ancestry ancestry=methods
analysis trees hyperbolicity=delta nulls sources
report trees hyperbolicity=page
train trees hyperbolicity_cost=cost
train graphs graph=training graph_problems=problems graph_scores=scores graph_start=start graph_points=points
    graph_predict=predict
train vision images=training image_predict=predict
data vision image_jitter=jitter
train words clip words=ensemble words_folder=folder words_run=run words_training=training
data words words=tokenizer
report bench bench=page grid published
report report words=wording
models models.hyena hyena_block=block hyena_config=config hyena_convert=conversion hyena_generate=generation
    hyena_kmer=kmer hyena_lean=chunked hyena_rc=reverse_complement
models models.vision lvit lorentz_resnet=resnet image_processor=processor
models models.clip lclip sequence_encoder
nn nn.hyena implicit_filter position_features short_convolution long_convolution smooth_convolution two_level
    channelwise fused streaming context_parallel
data - variants
"""
PACKAGES = ("train",)


def table() -> dict[str, str]:
    found = {}
    for line in MODULES.replace("\n    ", " ").strip().split("\n"):
        before, now, *names = line.replace("-", "").split(" ")
        for name in names:
            old, _, new = name.partition("=")
            found[f"{before}.{old}".lstrip(".")] = f"{now}.{new or old}".lstrip(".")
    return found


TABLE = table()


def new_name(name: str) -> str | None:
    """What a module of this name is called now; None where it never had another."""
    old = name.removeprefix("crocuta.")
    if old in TABLE:
        return f"crocuta.{TABLE[old]}"
    for before, now in PREFIXES.items():
        if old.startswith(before):
            return f"crocuta.{now}{old.removeprefix(before)}"
    return None


def warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}; the old name goes with the next release", FutureWarning, stacklevel=3)


class Moved(MetaPathFinder, Loader):
    """Finds modules by the name that they had."""

    def find_spec(self, fullname, path=None, target=None) -> ModuleSpec | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if fullname.startswith("crocuta.") and new_name(fullname):
            return ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = new_name(old)
        assert new
        sys.modules[old] = import_module(new)
        warn(old, new)


def install() -> None:
    """Lets `import` know the old names."""
    if not any(isinstance(finder, Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, Moved())  # before a file of that name in the package that it is now
