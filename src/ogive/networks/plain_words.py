"""How language models are taken away: what their files say, and how they read a text and measure their perplexity.

Shapes: T moments, B texts side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.networks.plain import Inputs, Plain
from ogive.networks.recurrent import LanguageModel
from ogive.networks.source import Import

__all__ = ["of_words"]


def of_words(network: LanguageModel, *, vocabulary: Sequence[str], words: Tensor | None = None) -> Plain:
    """For a language model, which takes words (T, B) and a state, and travels with its vocabulary in NAME.words.txt.

    `vocabulary` are its words in the order of their numbers, and `words` (T, B) a real text to compare on beside random
    ones. SpecError for another number of words than the network knows.
    """
    if len(vocabulary) != network.words or len({*vocabulary}) != network.words:
        raise SpecError(f"The network knows {network.words} words, but {len({*vocabulary})} different ones were named.")
    known, width = network.words, network.width

    def read(words_TB: Tensor) -> Inputs:
        return words_TB, torch.zeros(1, words_TB.shape[1], width)

    def drawn(count: int, generator: torch.Generator) -> Inputs:
        return read(torch.randint(0, known, (2 * count - 1, count), generator=generator))

    real = [] if words is None else [read(words.cpu())]
    return Plain(
        takes=f"It takes numbers of words, of which it knows {known:,}, says which come next, ",
        usage=USAGE,
        constants=CONSTANTS,
        functions=(NUMBERED, PERPLEXITY, MAIN),
        imports=frozenset({Import("math", None, "math")}),
        inputs=("words", "hidden"),
        outputs=("log_probabilities", "hidden"),
        axes=("T", "B"),
        traced=False,  # a cell is run moment by moment, of which there is any number
        drawn=drawn,
        real=[(inputs, inputs) for inputs in real],
        beside=lambda name: {f"{name}.words.txt": "".join(f"{word}\n" for word in vocabulary)},
    )


CONSTANTS = """\
WORDS = Path(__file__).with_suffix(".words.txt")  # the vocabulary, a word a line, in the order of their numbers"""

USAGE = """\
    python NAME.py                   what this network is
    python NAME.py --text test.txt   its perplexity on a text, every line of which ends with the word <eos>"""

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
