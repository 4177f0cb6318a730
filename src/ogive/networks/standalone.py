"""Write a network as one Python file that a person can read and edit, and that needs torch and nothing of ogive."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol, runtime_checkable

from torch import nn

from ogive.core.errors import SpecError
from ogive.networks.closure import collect
from ogive.networks.source import Import

__all__ = ["LOAD", "Facts", "Plain", "docstring_of", "literal", "source_of", "standalone"]

WIDTH = 120
BLOCK = re.compile(r"^(@|def |async def |class |if )", re.MULTILINE)
BRACKETS: dict[type, tuple[str, str]] = {tuple: ("(", ")"), list: ("[", "]"), dict: ("{", "}")}

# What the file's own functions, below, use and define.
IMPORTS = frozenset(
    {
        Import("argparse", None, "argparse"),
        Import("pathlib", "Path", "Path"),
        Import("torch", None, "torch"),
        Import("torch", "Tensor", "Tensor"),
        Import("torch", "nn", "nn"),
    }
)
NAMES = frozenset({"WEIGHTS", "SHAPE", "CLASSES", "MEAN", "STD", "network", "load", "prepared", "accuracy", "main"})


@dataclass(frozen=True, slots=True)
class Plain:
    """What a file says and does beside its network, for inputs that are no images.

    `takes`: what it reads, as part of a sentence, with a comma at the end; `usage`: lines with NAME for the file's own
    name; `constants` and `functions` (after load(), the last one is main()) as source, and the `names` and `imports` of
    both; `inputs` and `outputs`: what these are called in formats that name them.
    """

    takes: str
    usage: str
    constants: str
    functions: tuple[str, ...]
    names: frozenset[str]
    imports: frozenset[Import] = frozenset()
    inputs: str = "rows"
    outputs: str = "logits"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a network is for: its name, the shape (channels, height, width) of an image, classes, preparation, origin.

    `normalise` is the mean and the standard deviation of each channel: of bytes on the scale 0..1, of other numbers on
    their own. `plain` stands for all that a file of a network of images has beside it.
    """

    name: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] | None = None
    normalise: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    headline: str | None = None
    plain: Plain | None = None


def standalone(network: nn.Module, facts: Facts) -> str:
    """The text of the file; raises SpecError for a network that cannot be written as source.

    A network can if its class stands at the top level of a file, needs only torch and Python, and its instances carry
    `recipe`: the literal keyword arguments that rebuild it.
    """
    plain = _of_images(facts) if facts.plain is None else facts.plain
    docstring = docstring_of(network, facts.name, facts.headline, plain.takes, plain.usage)
    functions = [LOAD, *plain.functions]
    return source_of(network, docstring, plain.constants, functions, plain.names, plain.imports)


def source_of(
    network: nn.Module,
    docstring: str,
    constants: str,
    functions: Sequence[str],
    names: frozenset[str],
    imports: frozenset[Import] = frozenset(),
) -> str:
    """A file of a docstring, constants, the network's definitions, and functions, of which the last is main().

    `names` and `imports` are what the functions define and need, beside argparse, Path, torch, Tensor and nn.
    """
    recipe = _recipe(network)
    needed = IMPORTS | imports
    collected = collect(type(network), needed | names)
    call = f"return {_call(collected.name, recipe)}"
    body = [
        *collected.texts,
        f'def network() -> nn.Module:\n    """Build the network with fresh weights."""\n    {call}',
        *functions,
        'if __name__ == "__main__":\n    main()',
    ]
    return _joined([docstring, _imports(needed | collected.imports), constants], body)


@runtime_checkable
class Rebuilt(Protocol):
    """A network that says what makes another one like it."""

    @property
    def recipe(self) -> dict[str, object]:
        """The arguments of its constructor."""
        ...


def _recipe(network: nn.Module) -> dict[str, object]:
    recipe: Any = network.recipe if isinstance(network, Rebuilt) else None
    if not isinstance(recipe, dict) or not all(isinstance(key, str) for key in recipe):
        name = type(network).__name__
        raise SpecError(
            f"To write {name} as source, ogive must know what rebuilds it. Set self.recipe in its constructor: a "
            f"dictionary such that {name}(**self.recipe) makes the same network, of numbers, strings, tuples, lists "
            "and dictionaries only."
        )
    return recipe


# -- the parts of the file --------------------------------------------------------------------------------------------


def _of_images(facts: Facts) -> Plain:
    size = " × ".join(map(str, facts.shape))
    classes = f", tells {len(facts.classes)} classes apart" if facts.classes else ""
    prepared = PREPARED_NORMALISED if facts.normalise else PREPARED
    takes = f"It takes images of {size}{classes}, "
    return Plain(takes, USAGE, _constants(facts), (prepared, ACCURACY, MAIN), NAMES, inputs="images")


def docstring_of(network: nn.Module, name: str, headline: str | None, takes: str, usage: str) -> str:
    """What an exported file says of itself; `takes` ends in a comma, and NAME in `usage` becomes the file's."""
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    weights = f"and has {parameters:,} trainable parameters; their trained values are in {name}.safetensors. "
    weights += "The architecture itself stands in network(), below the definitions of its parts."
    paragraphs = [
        f"{name}: a network exported by ogive {_version()}. It does not need ogive; change it as you like.",
        (headline or "").replace("\\", "/").replace('"', "'").strip("\n"),
        f"{takes}{weights}",
        usage.replace("NAME", name),
    ]
    text = "\n\n".join(_filled(paragraph) for paragraph in paragraphs if paragraph)
    return f'"""{text}\n"""'


def _filled(paragraph: str) -> str:
    """The same lines, with those that are too long broken."""
    lines = paragraph.splitlines()
    return "\n".join(textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines)


def _version() -> str:
    try:
        return metadata.version("ogive")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _imports(imports: Iterable[Import]) -> str:
    """The import statements, in the order of isort: standard library, then torch; whole modules, then names."""
    blocks = ["from __future__ import annotations"]
    for ours in (False, True):
        block = {entry for entry in imports if (entry.module.partition(".")[0] == "torch") == ours}
        block = {entry for entry in block if entry.module != "__future__"}
        whole = sorted({_import_line(entry) for entry in block if entry.attribute is None}, key=str.casefold)
        modules = sorted({entry.module for entry in block if entry.attribute is not None})
        lines = whole + [_from_line(module, block) for module in modules]
        blocks += ["\n".join(lines)] if lines else []
    return "\n\n".join(blocks)


def _import_line(entry: Import) -> str:
    return f"import {entry.module}" if entry.plain else f"import {entry.module} as {entry.name}"


def _from_line(module: str, block: set[Import]) -> str:
    def rank(entry: Import) -> tuple[int, str]:
        name = str(entry.attribute)
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name.casefold()

    entries = sorted((entry for entry in block if entry.module == module and entry.attribute), key=rank)
    same = [str(entry.attribute) for entry in entries if entry.name == entry.attribute]
    lines = [f"from {module} import {', '.join(same)}"] if same else []
    lines += [f"from {module} import {e.attribute} as {e.name}" for e in entries if e.name != e.attribute]
    if same and len(lines[0]) > WIDTH:
        lines[0] = f"from {module} import (\n" + "".join(f"    {name},\n" for name in same) + ")"
    return "\n".join(lines)


def _constants(facts: Facts) -> str:
    lines = [
        'WEIGHTS = Path(__file__).with_suffix(".safetensors")',
        f"SHAPE = {facts.shape!r}  # channels, height and width of an image",
    ]
    if facts.classes:
        lines.append(f"CLASSES = {literal(facts.classes, used=len('CLASSES = '))}")
    if facts.normalise:
        mean, std = facts.normalise
        lines.append("# Of each channel, over the training images; bytes on the scale 0..1.")
        lines.append(f"MEAN = {literal(mean, used=len('MEAN = '))}")
        lines.append(f"STD = {literal(std, used=len('STD = '))}")
    return "\n".join(lines)


def _joined(head: Sequence[str], body: Sequence[str]) -> str:
    """Two blank lines around functions and classes, one after each part of the head, none between assignments."""
    text = "\n\n".join(head) + "\n"
    after_block, assigned = False, False
    for part in body:
        block = BLOCK.search(part) is not None
        text += ("\n\n" if block or after_block else "" if assigned else "\n") + part + "\n"
        after_block, assigned = block, True
    return text


USAGE = """\
    python NAME.py                           what this network is
    python NAME.py --data test.safetensors   how many of the `images` in that file get their `labels`"""

LOAD = '''\
def load(weights: str | Path = WEIGHTS) -> nn.Module:
    """Build the network, give it its trained weights, and make it ready to classify."""
    from safetensors.torch import load_file

    net = network()
    net.load_state_dict(load_file(weights))
    return net.eval()'''

PREPARED = '''\
def prepared(images: Tensor) -> Tensor:
    """Make images what the network takes: it was trained on numbers as they are."""
    return images.float()'''

PREPARED_NORMALISED = '''\
def prepared(images: Tensor) -> Tensor:
    """Make images what the network takes: bytes or numbers of shape (N, *SHAPE) become normalised."""
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    mean, std = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (MEAN, STD))
    factor, offset = (1 / (scale * std)).to(images.device, torch.float32), (mean / std).to(images.device, torch.float32)
    return images.float() * factor - offset'''

ACCURACY = '''\
@torch.inference_mode()
def accuracy(net: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 256) -> float:
    """Tell how many of the images, in per cent, the network gives their label; images as `prepared` takes them."""
    right = 0
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        right += int((net(prepared(images[batch])).argmax(1) == labels[batch]).sum())
    return 100 * right / len(images)'''

MAIN = '''\
def main() -> None:
    """Say what the network is and, given test images, how often it is right."""
    parser = argparse.ArgumentParser(description="What this network is, and how often it is right.")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="default: %(default)s")
    parser.add_argument("--data", type=Path, metavar="FILE", help="a .safetensors file with images and labels")
    arguments = parser.parse_args()
    if not arguments.weights.is_file():
        parser.error(f"there are no weights in {arguments.weights}")
    if arguments.data is not None and not arguments.data.is_file():
        make = "safetensors.torch.save_file({'images': images, 'labels': labels}, FILE)"
        parser.error(f"there is no file {arguments.data}; {make} makes one of images (N, C, H, W) and labels (N)")
    net = load(arguments.weights)
    parameters = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    outputs = net(torch.zeros(1, *SHAPE)).shape[1]
    print(f"{type(net).__name__}: {' x '.join(map(str, SHAPE))} -> {outputs}, {parameters:,} trainable parameters")
    if arguments.data is not None:
        from safetensors.torch import load_file

        data = load_file(arguments.data)
        per_cent = accuracy(net, data["images"], data["labels"])
        print(f"accuracy {per_cent:.2f} % of {len(data['labels'])} images")'''


# -- values as ruff would write them ----------------------------------------------------------------------------------


def _call(name: str, recipe: dict[str, object]) -> str:
    arguments = [f"{key}={literal(value, indent=8, used=len(key) + 2)}" for key, value in recipe.items()]
    line = f"{name}({', '.join(f'{key}={literal(value)}' for key, value in recipe.items())})"
    if "\n" not in line and len(line) + len("    return ") <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"        {argument},\n" for argument in arguments) + "    )"


def literal(value: object, *, indent: int = 0, used: int = 0) -> str:
    """A value as Python text; raises SpecError if it is not made of plain literals.

    A container that does not fit the line, of which `indent + used` columns are taken, has one element a line.
    """
    if type(value) not in BRACKETS:
        return _atom(value)
    assert isinstance(value, tuple | list | dict)
    opening, closing = BRACKETS[type(value)]
    keys = [f"{_atom(key)}: " for key in value] if isinstance(value, dict) else [""] * len(value)
    values = list(value.values()) if isinstance(value, dict) else list(value)
    items = [f"{key}{literal(item)}" for key, item in zip(keys, values, strict=True)]
    single = "," if isinstance(value, tuple) and len(value) == 1 else ""
    line = f"{opening}{', '.join(items)}{single}{closing}"
    # One column more for the comma or bracket that follows.
    if "\n" not in line and indent + used + len(line) + 1 <= WIDTH:
        return line
    inner = [
        f"{' ' * (indent + 4)}{key}{literal(item, indent=indent + 4, used=len(key))},\n"
        for key, item in zip(keys, values, strict=True)
    ]
    return f"{opening}\n{''.join(inner)}{' ' * indent}{closing}"


def _atom(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"A recipe holds plain literals only, and {value} cannot be written as one.")
    if type(value) is str:
        text = repr(value)
        return f'"{text[1:-1]}"' if text.startswith("'") and '"' not in text else text
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    raise SpecError(
        f"A recipe holds plain literals only (numbers, strings, tuples, lists, dictionaries), but got {value!r}, "
        f"a {type(value).__module__}.{type(value).__qualname__}."
    )
