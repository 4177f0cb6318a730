"""The one tracer: what any network computes, as a graph of typed operations with shapes, and what that costs.

A network is run once, on an input of zeros, while every function of torch that it calls is written down. That follows
whatever Python does on the way, and takes a fifteenth of the time of torch.export. What a value decides at run time,
such as a branch on the mean of an activation, cannot be followed and is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ogive.core.errors import SpecError, in_line
from ogive.core.network_graph import NetworkGraph, Node

__all__ = ["multiplications", "trace"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions whose output is their input, in another form or with each number changed for itself.
PASSING = _names(
    """relu relu6 gelu silu mish elu celu selu leaky_relu rrelu hardtanh hardswish hardsigmoid sigmoid tanh softplus
    softsign logsigmoid threshold softmin log_softmax dropout dropout1d dropout2d dropout3d alpha_dropout
    feature_dropout feature_alpha_dropout native_dropout drop view view_as reshape reshape_as flatten unflatten permute
    transpose swapaxes swapdims movedim moveaxis t contiguous unsqueeze squeeze expand expand_as broadcast_to repeat
    repeat_interleave tile chunk split split_with_sizes tensor_split unbind unsafe_chunk unsafe_split getitem get pad
    roll flip rot90 slice narrow select index_select gather masked_fill interpolate upsample upsample_nearest
    upsample_bilinear pixel_shuffle pixel_unshuffle channel_shuffle unfold fold clone to float half double bfloat16 type
    type_as alias detach requires_grad identity clamp clip abs neg negative pow float_power square sqrt rsqrt exp expm1
    log log1p log2 reciprocal sign sin cos erf floor ceil round nan_to_num normalize norm vector_norm var std var_mean
    sum cumsum max min amax amin rsub fill zero copy setitem tril triu local_response_norm lerp quantize fake_quantize
    broadcast_tensors cpu cuda glu"""
)
# Functions of a tensor whose output has nothing of its values.
CONSTANT = _names(
    """zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full new_tensor
    bernoulli uniform normal shape"""
)
# Functions that tell the values of a tensor to Python.
READING = _names("bool int float index item tolist nonzero equal allclose is_nonzero numpy array")
ADDING = _names("add sub subtract where maximum minimum fmax logaddexp addcmul addcdiv")
SCALING = _names("mul multiply div divide true_divide")
JOINING = _names("cat concat concatenate stack hstack vstack dstack column_stack")
PRODUCTS = _names("matmul mm bmm einsum rmatmul addmm baddbmm addbmm")
NORMALISING = {
    "batch_norm": ("bn", 3, 4),
    "instance_norm": ("ln", 3, 4),
    "layer_norm": ("ln", 2, 3),
    "group_norm": ("ln", 2, 3),
    "rms_norm": ("ln", 2, 3),
}
CONVOLUTIONS = frozenset(f"conv{transposed}{n}d" for n in "123" for transposed in ("", "_transpose"))


def trace(module: nn.Module, inputs: Sequence[int] | Tensor | tuple[Tensor, ...]) -> NetworkGraph:
    """The graph of a network in evaluation mode, for inputs or for one input of zeros of a shape (C, H, W).

    A node is what has weights of its own (`conv`, also of linear layers and products with a matrix; `sep_conv` and
    `dil_conv` are convolutions in groups; `bias`; `bn`; `ln` are all other normalisations and learnt scales; `pos_enc`
    is what is added or joined as it is), an attention, a gate, pooling, and what has several inputs. A mean that only
    serves a gate belongs to it. Activations and what changes a shape are none. The module is left as it was.

    SpecError names the layer that calls what has no type of node, or that asks for values.
    """
    try:
        recorder = _recorded(module, inputs)
    except SpecError:
        raise
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        raise SpecError(f"The network cannot be run on such an input, {_told(inputs)}: {in_line(error)}") from error
    if recorder.unknown:
        layer, name = recorder.unknown[0]
        raise SpecError(
            f"{_called(layer)} calls {name}, for which graphs have no type of node: write it with convolutions, linear "
            "layers, normalisations, attention, pooling, sums and concatenations, or search without this layer."
        )
    return _graph(recorder)


def multiplications(module: nn.Module, inputs: Sequence[int] | Tensor | tuple[Tensor, ...]) -> int:
    """Multiply-accumulates of all convolutions and products with a learnt matrix, of networks with any functions.

    Where a network decides by values, they are those of the way that these inputs take.
    """
    return sum(draft.macs for draft in _recorded(module, inputs, decides=True).drafts)


@dataclass(slots=True)
class _Draft:
    """A node that was met, the places of those that it reads, and its multiply-accumulates."""

    node: Node
    reads: frozenset[int]
    macs: int = 0


@dataclass(frozen=True, slots=True)
class _Value:
    """Where a tensor comes from: nodes, or nothing but parameters; and whether attention is under way on it."""

    nodes: frozenset[int] = frozenset()
    parameters: tuple[str, ...] = ()
    attention: str = ""  # "scores": a product of two activations; "shares": what softmax made of something

    @property
    def learnt(self) -> bool:
        """Whether it is made of parameters alone."""
        return not self.nodes and bool(self.parameters)


NOTHING = _Value()


class _Recorder(TorchFunctionMode):
    """Writes down what is called while it is entered; a network that decides by values is refused unless it may."""

    def __init__(self, module: nn.Module, inputs: Iterable[Tensor], *, decides: bool) -> None:
        super().__init__()
        self.decides = decides
        self.drafts: list[_Draft] = []
        self.unknown: list[tuple[str, str]] = []
        self.output: frozenset[int] = frozenset()
        self.layers = {id(layer): name for name, layer in module.named_modules()}
        self._names = {id(parameter): name for name, parameter in module.named_parameters()}
        # The tensors themselves are held, since the identity of one that is freed would be lent to another.
        self._values: dict[int, tuple[Tensor, _Value]] = {}
        for tensor in inputs:
            self._values[id(tensor)] = (tensor, _Value(self._node("input")))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        tensors = list(_tensors((*args, *kwargs.values())))
        values = [self.value(tensor) for tensor in tensors]
        followed = [value for value in values if value is not NOTHING]
        if not self.decides and name in READING and any(value.nodes for value in followed):
            raise SpecError(
                f"{_called(self.layer())} asks for the value of what it computes ({name}), so that another input may "
                "take another way: no graph can be made of that."
            )
        result = func(*args, **kwargs)
        if not followed or name in CONSTANT:
            return result
        outputs = list(_tensors((result,)))
        if outputs:
            found = self._followed(name, args, kwargs, tensors, values, outputs[0])
            for output in outputs:
                self._values[id(output)] = (output, found)
        return result

    def value(self, tensor: Tensor) -> _Value:
        """Where a tensor comes from."""
        if id(tensor) in self._values:
            return self._values[id(tensor)][1]
        name = self._names.get(id(tensor))
        return NOTHING if name is None else _Value(parameters=(name,))

    def layer(self) -> str:
        """The name of the innermost layer whose code is running."""
        frame: Any = sys._getframe()
        while frame is not None:
            owner = id(frame.f_locals.get("self"))
            name: str | None = self.layers.get(owner)
            if name is not None:
                return name
            frame = frame.f_back
        return ""

    def _followed(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        tensors: list[Tensor],
        values: list[_Value],
        output: Tensor,
    ) -> _Value:
        """Where the output of a function comes from."""
        if not any(value.nodes for value in values):
            return _Value(parameters=tuple(dict.fromkeys(name for value in values for name in value.parameters)))
        if name in CONVOLUTIONS or name == "linear":
            return self._layer(name, args, kwargs, output)
        if name == "multi_head_attention_forward":
            return self._attention(args, kwargs)
        if name == "scaled_dot_product_attention":
            return _Value(self._node("msa", self._read(values)))
        if name in PRODUCTS:
            return self._product(name, args, tensors, values, output)
        if name in NORMALISING:
            op, *places = NORMALISING[name]
            learnt = [
                _argument(args, kwargs, place, word) for place, word in zip(places, ("weight", "bias"), strict=True)
            ]
            return _Value(self._node(op, self._read(values[:1]), learnt))
        if name in ADDING or name in JOINING or name in SCALING:
            return self._joined(name, tensors, values)
        return self._pooled(name, args, kwargs, values, output)

    def _pooled(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], values: list[_Value], output: Tensor
    ) -> _Value:
        """The output of a pooling, of what passes its input on, or of something that is not known."""
        kind = next((kind for kind in ("max_pool", "avg_pool") if kind in name), "")
        if kind and "adaptive" not in name:
            kernel = _argument(args, kwargs, 1, "kernel_size")
            rows, columns = kernel if isinstance(kernel, (tuple, list)) and len(kernel) == 2 else (_first(kernel),) * 2
            return _Value(self._node(kind, self._read(values), shape=(1, 1, int(rows), int(columns))))
        if kind:
            whole = output.dim() > 2 and all(side == 1 for side in output.shape[2:])
            return _Value(self._node("glob_avg" if whole and kind == "avg_pool" else kind, self._read(values)))
        if name == "mean":
            return _Value(self._node("glob_avg", self._read(values)))
        nodes = frozenset().union(*(value.nodes for value in values))
        attention = max((value.attention for value in values), default="")
        if name == "softmax":
            return _Value(nodes, attention="shares")
        if name not in PASSING:
            self.unknown.append((self.layer(), name or "a function without a name"))
        return _Value(nodes, attention=attention)

    def _layer(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Tensor) -> _Value:
        """The output of a convolution or a linear layer."""
        x, weight = _argument(args, kwargs, 0, "input"), _argument(args, kwargs, 1, "weight")
        bias = _argument(args, kwargs, 2, "bias")
        if self.value(weight).nodes:
            self.unknown.append((self.layer(), f"{name} with a weight that is computed from the input"))
        op = "conv"
        if name in CONVOLUTIONS and "transpose" not in name and weight.shape[1] != x.shape[-weight.dim() + 1]:
            dilation = _argument(args, kwargs, 5, "dilation")
            op = "dil_conv" if dilation is not None and _first(dilation) > 1 else "sep_conv"
        # Every output element is a product of one filter, or one row of the matrix, with what it sees of the input;
        # where a convolution is transposed, every input element is one with what sees it of the output.
        elements = x if "transpose" in name else output
        macs = elements.numel() * weight[0].numel()
        return self._biased(self._node(op, self._read([self.value(x)]), [weight], macs=macs), bias)

    def _biased(self, nodes: frozenset[int], bias: Tensor | None) -> _Value:
        return _Value(nodes if bias is None else self._node("bias", nodes, [bias]))

    def _attention(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Value:
        """The output of `torch.nn.MultiheadAttention`: its projections, the attention, and the last projection."""
        query, key, value, width = args[:4]
        tokens = [tensor.numel() // tensor.shape[-1] for tensor in (query, key, value)]
        bias = _argument(args, kwargs, 6, "in_proj_bias")
        apart = [kwargs.get(f"{which}_proj_weight") for which in "qkv"]
        if kwargs.get("use_separate_proj_weight"):
            projected: frozenset[int] = frozenset()
            for tensor, weight, count in zip((query, key, value), apart, tokens, strict=True):
                assert weight is not None
                projected |= self._node("conv", self._read([self.value(tensor)]), [weight], macs=count * weight.numel())
            reads = projected
        else:
            weight = _argument(args, kwargs, 5, "in_proj_weight")
            macs = sum(tokens) * width * width
            reads = self._node("conv", self._read(map(self.value, (query, key, value))), [weight], macs=macs)
        reads = self._biased(reads, bias).nodes
        weight, bias = _argument(args, kwargs, 11, "out_proj_weight"), _argument(args, kwargs, 12, "out_proj_bias")
        mixed = self._node("msa", reads)
        return self._biased(self._node("conv", mixed, [weight], macs=tokens[0] * weight.numel()), bias)

    def _product(
        self, name: str, args: tuple[Any, ...], tensors: list[Tensor], values: list[_Value], output: Tensor
    ) -> _Value:
        """The output of a product of matrices: with one that is learnt, or of activations, which is attention."""
        learnt = [tensor for tensor, value in zip(tensors, values, strict=True) if value.learnt]
        active = [value for value in values if value.nodes]
        if learnt:
            weight, bias = (learnt[-1], learnt[0]) if len(learnt) > 1 else (learnt[0], None)
            macs = output.numel() * _summed(name, args, tensors)
            return self._biased(self._node("conv", self._read(active), [weight], macs=macs), bias)
        if len(active) > 1 and any(value.attention for value in active):
            return _Value(self._node("msa", frozenset().union(*(value.nodes for value in active))))
        nodes = frozenset().union(*(value.nodes for value in active))
        return _Value(nodes, attention="scores" if len(active) > 1 else active[0].attention)

    def _joined(self, name: str, tensors: list[Tensor], values: list[_Value]) -> _Value:
        """The output of a sum, a concatenation or a product number by number."""
        active = [value for value in values if value.nodes]
        learnt = [tensor for tensor, value in zip(tensors, values, strict=True) if value.learnt]
        attention = max(value.attention for value in active)
        if name in SCALING and learnt:
            nodes = self._read(active)
            for tensor in learnt:
                nodes = self._node("ln", nodes, [tensor])
            return _Value(nodes)
        nodes = frozenset().union(*(value.nodes for value in active))
        if name in ADDING:
            biases = [tensor for tensor in learnt if tensor.numel() == max(tensor.shape, default=1)]
            for tensor in biases:
                nodes = self._node("bias", nodes, [tensor])
            learnt = [tensor for tensor in learnt if all(tensor is not bias for bias in biases)]
        for tensor in learnt:
            nodes |= self._node("pos_enc", frozenset(), [tensor])
        if attention == "scores" or len(nodes) < 2:
            return _Value(nodes, attention=attention)
        # Several nodes behind one operand came together elsewhere; only what differs is brought together here.
        if not learnt and len({value.nodes for value in active}) == 1:
            return _Value(nodes, attention=attention)
        return _Value(self._node("sum" if name in ADDING else "concat" if name in JOINING else "cse", nodes))

    def _read(self, values: Iterable[_Value]) -> frozenset[int]:
        """The nodes behind what a node reads; what is between two products has no type."""
        nodes: frozenset[int] = frozenset()
        for value in values:
            if value.attention == "scores":
                self.unknown.append((self.layer(), "a product of two activations that is no attention"))
            nodes |= value.nodes
        return nodes

    def _node(
        self,
        op: str,
        reads: frozenset[int] = frozenset(),
        learnt: Sequence[Tensor | None] = (),
        *,
        shape: tuple[int, ...] = (),
        macs: int = 0,
    ) -> frozenset[int]:
        """Add a node; a set with its place."""
        given = [tensor for tensor in learnt if tensor is not None]
        names = tuple(dict.fromkeys(name for tensor in given for name in self.value(tensor).parameters))
        if names and not shape:
            shape = tuple(given[0].shape)
        self.drafts.append(_Draft(Node(op, names, shape), reads, macs))
        return frozenset((len(self.drafts) - 1,))


def _recorded(
    module: nn.Module, inputs: Sequence[int] | Tensor | tuple[Tensor, ...], *, decides: bool = False
) -> _Recorder:
    """What a network in evaluation mode does with inputs; whatever it raises comes through."""
    if isinstance(module, torch.jit.ScriptModule):
        raise SpecError("A compiled ScriptModule cannot be followed: give the module that it was made from.")
    given = _inputs(module, inputs)
    recorder = _Recorder(module, given, decides=decides)
    with _evaluating(module), torch.no_grad(), recorder:
        result = module(*given)
    outputs = list(_tensors((result,)))
    recorder.output = recorder.value(outputs[0]).nodes if outputs else frozenset()
    return recorder


def _inputs(module: nn.Module, inputs: Sequence[int] | Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    if isinstance(inputs, Tensor):
        return (inputs,)
    if inputs and all(isinstance(one, Tensor) for one in inputs):
        return tuple(inputs)  # type: ignore[arg-type]
    if not inputs or any(not isinstance(side, int) or side < 1 for side in inputs):
        raise SpecError(f"The shape of an input has positive sides, such as (3, 32, 32), but got {tuple(inputs)}.")
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    return (torch.zeros(1, *inputs, dtype=like.dtype, device=like.device),)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def _graph(recorder: _Recorder) -> NetworkGraph:
    """What the first output depends on, without the means that only serve a gate."""
    drafts = recorder.drafts
    if not recorder.output:
        raise SpecError("The output of the network does not depend on its input in a way that torch can show.")
    needed: set[int] = set()
    waiting = list(recorder.output)
    while waiting:
        place = waiting.pop()
        if place not in needed:
            needed.add(place)
            waiting.extend(drafts[place].reads)
    reads = {place: set(drafts[place].reads) for place in sorted(needed)}
    for place in _squeezes(drafts, reads):
        for others in reads.values():
            if place in others:
                others.remove(place)
                others |= reads[place]
        del reads[place]
    number = {place: new for new, place in enumerate(reads)}
    edges = [(number[source], number[place]) for place, sources in reads.items() for source in sources]
    return NetworkGraph.of((drafts[place].node for place in reads), edges)


def _squeezes(drafts: Sequence[_Draft], reads: Mapping[int, set[int]]) -> list[int]:
    """The means from which a chain of nodes leads to a gate and to nothing else."""
    readers: dict[int, list[int]] = {place: [] for place in reads}
    for place, sources in reads.items():
        for source in sources:
            readers[source].append(place)
    found = []
    for place in reads:
        after = place
        while drafts[place].node.op == "glob_avg" and len(readers[after]) == 1:
            (after,) = readers[after]
            if drafts[after].node.op == "cse":
                found.append(place)
                break
    return found


def _tensors(nested: Iterable[Any]) -> Iterator[Tensor]:
    for one in nested:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, Mapping):
            yield from _tensors(one.values())
        elif isinstance(one, (tuple, list)):
            yield from _tensors(one)


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int, name: str) -> Any:
    return args[place] if place < len(args) else kwargs.get(name)


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, (tuple, list)) else value)


def _summed(name: str, args: tuple[Any, ...], tensors: Sequence[Tensor]) -> int:
    """Over how many products each number of a product of matrices is a sum."""
    if name != "einsum":
        return int(tensors[-2].shape[-1])
    inputs, _, output = str(args[0]).replace(" ", "").partition("->")
    sizes = {
        letter: side
        for letters, tensor in zip(inputs.split(","), tensors, strict=True)
        for letter, side in zip(
            letters.replace("...", ""), tensor.shape[-len(letters.replace("...", "")) :], strict=True
        )
    }
    total = 1
    for letter, side in sizes.items():
        total *= 1 if letter in output else side
    return total


def _told(inputs: Sequence[int] | Tensor | tuple[Tensor, ...]) -> str:
    """The sizes of inputs in words."""
    shapes: list[Any] = [one.shape for one in _tensors((inputs,))] or [inputs]
    return " and ".join("×".join(map(str, shape)) for shape in shapes)


def _called(layer: str) -> str:
    return f"The layer {layer}" if layer else "The network itself"
