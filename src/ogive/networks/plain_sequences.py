"""How networks of sentences and of signals are taken away: their words and their scale travel with every file.

Beside every format of a network of sentences, NAME_words.py numbers the words of a text; NAME.py holds the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ogive.networks import words as cutting
from ogive.networks.plain import Entry, Plain
from ogive.networks.plain_images import ACCURACY, MAIN, PREPARED_NORMALISED, USAGE, Normalised
from ogive.networks.source import Import
from ogive.networks.standalone import literal

__all__ = ["of_sentences", "of_signals"]


def of_sentences(
    words: Sequence[str],
    length: int,
    *,
    classes: Sequence[str],
    columns: tuple[str, str],
    inputs: Tensor,
    keep: Callable[[Path], None] = lambda folder: None,
) -> Plain:
    """For networks that take numbered words (N, length) and give logits (N, classes).

    `words` have the numbers from 2 on, `columns` are those of the text and of the label in a file, and `inputs` are
    real ones, as the network takes them.
    """
    text, label = columns
    constants = _constants(words, length, classes)
    cut = "\n\n\n".join(inspect.getsource(part).rstrip() for part in (cutting.words_of, cutting.encoded))
    module = (
        f'"""{{name}}_words: numbers the words of a text as {{name}} takes them; it needs Python alone."""\n\n{HEAD}'
    )
    return Plain(
        takes=f"It takes the first {length} words of a text, tells {len(classes)} classes apart, ",
        usage=USAGE_SENTENCES.replace("TEXT", text).replace("LABEL", label),
        constants=f"{constants}\nTEXT, LABEL = {text!r}, {label!r}  # columns of a file",
        functions=(cut, CLASSIFIED, MAIN_SENTENCES),
        imports=frozenset(
            {Import("csv", None, "csv"), Import("re", None, "re"), Import("collections.abc", "Mapping", "Mapping")}
        ),
        facts={"classes": tuple(classes), "length": length, "input": "float32 numbers of words, by NAME_words.py"},
        inputs=("words",),
        width=len(classes),
        drawn=lambda count, generator: (
            torch.randint(1, len(words) + 2, (count, length), generator=generator).float(),
        ),
        real=[((batch,), (batch,)) for batch in inputs.to("cpu", torch.float32).split(256)],
        beside=lambda name: {f"{name}_words.py": f"{module.format(name=name)}\n\n{constants}\n\n\n{cut}\n"},
        keep=keep,
    )


def of_signals(
    shape: tuple[int, ...],
    *,
    classes: Sequence[str],
    normalise: tuple[Sequence[float], Sequence[float]],
    signals: Tensor,
    keep: Callable[[Path], None] = lambda folder: None,
) -> Plain:
    """For networks that take signals (N, C, L), of whose channels `normalise` has means and standard deviations."""
    mean, std = (torch.tensor(values).view(-1, 1) for values in normalise)
    known = {"shape": shape, "classes": tuple(classes), "mean": tuple(normalise[0]), "std": tuple(normalise[1])}
    lines = [f"SHAPE = {shape!r}  # channels and points of a signal"]
    lines += [f"{name.upper()} = {literal(known[name], used=len(name) + 3)}" for name in ("classes", "mean", "std")]
    prepared = PREPARED_NORMALISED.replace("bytes or numbers", "numbers").replace(".view(-1, 1, 1)", ".view(-1, 1)")
    main = (
        MAIN.format(argument="", picture="", hint="")
        .replace("labels (N)", "labels (N)")
        .replace("(N, C, H, W)", "(N, C, L)")
    )
    facts = {"shape": shape, "classes": tuple(classes), "input": "float32 signals; they are normalised inside"}
    return Plain(
        takes=f"It takes signals of {shape[0]} channels and {shape[1]} points, tells {len(classes)} classes apart, ",
        usage=_of_signals(USAGE),
        constants="\n".join(lines),
        functions=tuple(map(_of_signals, (prepared, ACCURACY, main))),
        facts=known,
        inputs=("signals",),
        width=len(classes),
        entries={
            "numbers": Entry(Normalised(*normalise, 1.0, sides=1), lambda inputs: (inputs[0] * std + mean,), facts)
        },
        drawn=lambda count, generator: (torch.randn(count, *shape, generator=generator),),
        real=[((batch,), (batch,)) for batch in signals.to("cpu", torch.float32).split(256)],
        keep=keep,
    )


def _of_signals(text: str) -> str:
    return text.replace("images", "signals").replace("image", "signal")


def _constants(words: Sequence[str], length: int, classes: Sequence[str]) -> str:
    return "\n".join(
        [
            f"LENGTH = {length}  # words of a text that are read",
            f"CLASSES = {literal(tuple(classes), used=len('CLASSES = '))}",
            "# Words with a number of their own, from 2 on.",
            f"WORDS = {literal(tuple(words), used=len('WORDS = '))}",
            "PLACES = {word: place for place, word in enumerate(WORDS, start=2)}",
        ]
    )


HEAD = "from __future__ import annotations\n\nimport re\nfrom collections.abc import Mapping"

USAGE_SENTENCES = """\
    python NAME.py                    what this network is
    python NAME.py "a text" ...       what it says of each text
    python NAME.py --data texts.csv   what it says of each row, or how often rightly, where there is a column LABEL"""

CLASSIFIED = '''\
@torch.inference_mode()
def classified(net: nn.Module, texts: list[str]) -> list[tuple[str, float]]:
    """Tell the likeliest class of each text, and how likely it is."""
    numbers = torch.tensor([encoded(text, PLACES, LENGTH) for text in texts], dtype=torch.float32)
    shares, places = net(numbers).softmax(1).max(1)
    return [(CLASSES[place], share) for place, share in zip(places.tolist(), shares.tolist(), strict=True)]'''

MAIN_SENTENCES = '''\
def main() -> None:
    """Say what the network is and, given texts, what it says of them, or how often rightly."""
    parser = argparse.ArgumentParser(description="What this network is, and what it says of texts.")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text in quotes")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a .csv file whose first line names the columns")
    arguments = parser.parse_args()
    for path in (arguments.weights, arguments.data):
        if path is not None and not path.is_file():
            parser.error(f"there is no file {path}")
    net = load(arguments.weights)
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    if not arguments.texts and arguments.data is None:
        print(f"{type(net).__name__}: {LENGTH} words -> {len(CLASSES)} classes, {parameters:,} trainable parameters")
    for text, (name, share) in zip(arguments.texts, classified(net, arguments.texts or [""]), strict=False):
        print(f"{name} {100 * share:.1f} %: {text}")
    if arguments.data is not None:
        with arguments.data.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        if not rows or TEXT not in rows[0]:
            parser.error(f"{arguments.data} has no rows, or lacks the column {TEXT}")
        found = [name for name, _ in classified(net, [row[TEXT] for row in rows])]
        if LABEL not in rows[0]:
            print("\\n".join(found))
        else:
            right = sum(name == row[LABEL] for name, row in zip(found, rows, strict=True))
            print(f"accuracy {100 * right / len(rows):.2f} % of {len(rows)} texts")'''
