"""Take a language model away as plain files: NAME.py, NAME.safetensors and NAME.words.txt, checked against the model.

Shapes: T moments, B texts side by side, V words of the vocabulary.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ogive.core.errors import ExportError, SpecError
from ogive.core.rng import Seed
from ogive.networks.export import LARGEST_ALLOWED, Exported, check_name, imported
from ogive.networks.recurrent import LanguageModel
from ogive.networks.source import Import
from ogive.networks.standalone import docstring_of, source_of

__all__ = ["export_language"]

NAMES = frozenset({"WEIGHTS", "WORDS", "network", "load", "numbered", "perplexity", "main"})
IMPORTS = frozenset({Import("math", None, "math")})
TRIED = ((1, 1), (7, 1), (12, 5))  # moments and texts of the random words on which the two are compared


def export_language(
    network: LanguageModel,
    folder: Path | str,
    *,
    name: str,
    vocabulary: Sequence[str],
    headline: str | None = None,
    words: Tensor | None = None,
    seed: Seed = Seed(0),  # noqa: B008
) -> Exported:
    """Write a language model as source, weights and vocabulary, and check that they compute what it computes.

    `name` is that of the files without suffix, a Python name; `vocabulary` the words in the order of the network's
    numbers; `headline` what the network is; `words` (T, B) a real text to compare on beside random ones. The network is
    left as it is. Raises ExportError if log-probabilities differ by more than 1e-4 (nothing is written), and SpecError.
    """
    check_name(name)
    if len(vocabulary) != network.words or len({*vocabulary}) != network.words:
        raise SpecError(f"The network knows {network.words} words, but {len({*vocabulary})} different ones were named.")
    started = time.perf_counter()
    # A copy, so that mode, device and precision of the caller's network stay as they are.
    plain = copy.deepcopy(network).to("cpu", torch.float32).eval()
    draw = torch.Generator().manual_seed(seed.integer("export"))
    pieces = [torch.randint(0, plain.words, shape, generator=draw) for shape in TRIED]
    pieces += [] if words is None else [words.cpu()]
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    # A rebuilt network draws weights, which are then replaced: nobody else's stream must move.
    with tempfile.TemporaryDirectory(dir=place, prefix=".export-") as workshop, torch.random.fork_rng(devices=[]):
        paths = _written(plain, Path(workshop), name, vocabulary, headline)
        difference = _largest_difference(plain, paths[0], pieces)
        if not difference <= LARGEST_ALLOWED:
            raise ExportError(
                f"The export of {type(network).__name__} differs from it by {difference:.2g}, more than the "
                f"{LARGEST_ALLOWED:g} allowed; nothing was written."
            )
        final = tuple(path.replace(place / path.name) for path in paths)
    return Exported("torch", final, difference, time.perf_counter() - started)


def _written(
    network: LanguageModel, folder: Path, name: str, vocabulary: Sequence[str], headline: str | None
) -> tuple[Path, ...]:
    from safetensors.torch import save

    takes = f"It takes numbers of words, of which it knows {len(vocabulary):,}, says which come next, "
    docstring = docstring_of(network, name, headline, takes, USAGE)
    source, weights, words = (folder / f"{name}.{suffix}" for suffix in ("py", "safetensors", "words.txt"))
    functions = [LOAD, NUMBERED, PERPLEXITY, MAIN]
    source.write_text(source_of(network, docstring, CONSTANTS, functions, NAMES, IMPORTS), encoding="utf-8")
    state = {key: tensor.detach().clone().contiguous() for key, tensor in network.state_dict().items()}
    weights.write_bytes(save(state, metadata={"format": "pt"}))
    words.write_text("".join(f"{word}\n" for word in vocabulary), encoding="utf-8")
    return source, weights, words


def _largest_difference(network: LanguageModel, source: Path, pieces: Sequence[Tensor]) -> float:
    loaded = imported(source).load()
    largest = 0.0
    with torch.inference_mode():
        for piece in pieces:
            hidden = network.start(piece.shape[1])
            for ours, theirs in zip(network(piece, hidden), loaded(piece, hidden), strict=True):
                largest = max(largest, float((ours - theirs).abs().max()))
    return largest


CONSTANTS = """\
WEIGHTS = Path(__file__).with_suffix(".safetensors")
WORDS = Path(__file__).with_suffix(".words.txt")  # the vocabulary, a word a line, in the order of their numbers"""

USAGE = """\
    python NAME.py                   what this network is
    python NAME.py --text test.txt   its perplexity on a text, every line of which ends with the word <eos>"""

LOAD = '''\
def load(weights: str | Path = WEIGHTS) -> nn.Module:
    """Build the network, give it its trained weights, and make it ready to read."""
    from safetensors.torch import load_file

    net = network()
    net.load_state_dict(load_file(weights))
    return net.eval()'''

NUMBERED = '''\
def numbered(lines: list[str], words: Path = WORDS) -> Tensor:
    """Turn lines of words with blanks between them into their numbers; what is not known becomes <unk>."""
    known = {word: number for number, word in enumerate(words.read_text(encoding="utf-8").split("\\n")[:-1])}
    text = [word for line in lines for word in (*line.split(), "<eos>")]
    missing = next((word for word in text if word not in known), None)
    if missing is not None and "<unk>" not in known:
        raise SystemExit(f"The word {missing!r} is not in {words}, which has no <unk> either.")
    return torch.tensor([known.get(word, known.get("<unk>", -1)) for word in text])'''

PERPLEXITY = '''\
@torch.inference_mode()
def perplexity(net: nn.Module, text: Tensor, piece: int = 35) -> float:
    """Tell how many words the network wavers between, on average, when it reads a text of numbers word by word."""
    column = text[:, None]
    hidden, total = net.start(1), 0.0
    for start in range(0, len(column) - 1, piece):
        target = column[start + 1 : start + 1 + piece]
        log_probabilities, hidden = net(column[start : start + len(target)], hidden)
        total -= float(log_probabilities.gather(-1, target[..., None]).double().sum())
    return math.exp(total / (len(column) - 1))'''

MAIN = '''\
def main() -> None:
    """Say what the network is and, given a text, how well it foretells it."""
    parser = argparse.ArgumentParser(description="What this network is, and how well it foretells a text.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    parser.add_argument("--text", type=Path, metavar="FILE", help="a text in UTF-8, with a blank between two words")
    arguments = parser.parse_args()
    net = load(arguments.weights)
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    print(f"{type(net).__name__}: {net.words} words, width {net.width}, {parameters:,} trainable parameters")
    if arguments.text is not None:
        with arguments.text.open(encoding="utf-8-sig") as file:
            text = numbered(list(file))
        print(f"perplexity {perplexity(net, text):.2f} of {len(text) - 1} words")'''
