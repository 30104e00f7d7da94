"""A model read from its files whole: no weight is drawn at random, none is left out.

transformers draws what a file lacks, leaves out what the model has no place for, says so on stderr
and goes on. Here what its loading report lists is an error that names the tensors. What may be
absent is what transformers itself takes off that list: tied weights, and buffers that are computed.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open

from gateway.backends.transformers import library, rope
from gateway.backends.transformers.packed import Packing, packing_of, tensors
from gateway.core.errors import ModelLoadError
from gateway.core.extras import require
from gateway.core.lists import first_names
from gateway.models.adapters.base import GGUF_OF, HEAD, tensor_names
from gateway.models.gguf_parts import parts_of, read_model
from gateway.models.shards import ADAPTER, refuse_broken_folder
from gateway.models.spec import Dtype, Quantize
from gateway.models.weights import read_object

ERRORS: tuple[type[Exception], ...] = (
    *(OSError, ValueError, RuntimeError, LookupError, ImportError, TypeError, AttributeError),
    *(ArithmeticError, AssertionError, MemoryError, SafetensorError, StrictDataclassError),
    RuntimeWarning,  # As `quiet_peft` has it raised.
)
"""What transformers and PEFT raise for files that are not what they should be."""


def load_module(path: Path, *, dtype: Dtype, device: str, quantize: Quantize) -> Any:
    """The model of transformers, ready for passes; arguments as `TorchModel`.

    Raises:
        MissingExtra: what quantizes is not installed.
        ModelLoadError: the files are absent, of an unknown architecture, pickled, a part of a
            model, packed in a way that is not read here, or not those of a model of this
            configuration, with the tensors' names.
    """
    library.load()
    from gateway.backends.transformers.gguf_reading import quick_reading

    is_gguf = not path.is_dir()
    if is_gguf:
        _refuse_adapter(path)
        path = parts_of(path)[0]
    else:
        refuse_broken_folder(path)
        _refuse_encoder(path)
        _check_generation(path / "generation_config.json")
    packing = None if is_gguf else packing_of(path)
    if not is_gguf and packing is None:
        _refuse_whole_numbers(path)
    if packing and quantize:
        raise ModelLoadError(
            f'{path}: quantize = "{quantize}" is for whole weights, and these are {packing.named}',
            hint="take quantize out of the entry, or name a folder that is not packed",
        )
    options = _options(dtype, device, packing, quantize)
    try:
        with quick_reading(), _without_report():
            if packing and packing.unpacked:
                loaded, report = _unpacked(path, packing, options)
            elif is_gguf:
                loaded, report = _dequantized(path, dtype, options)
            else:
                loaded, report = _from_files(path, options, packing)
    except ERRORS as exc:
        raise ModelLoadError(
            f"{path}: transformers cannot load it: {exc}",
            hint="a folder with config.json and safetensors, or a GGUF file of an architecture "
            "that transformers reads",
        ) from exc
    unread = _unread(path, loaded) if is_gguf else []
    _refuse_gaps(path, {**report, "unexpected_keys": [*report["unexpected_keys"], *unread]})
    _refuse_state(path, loaded)
    module = (loaded if "device_map" in options else loaded.to(device)).eval()
    if is_gguf:
        forget_quantization(module)
    return module


def _refuse_encoder(folder: Path) -> None:
    """What does not write token by token: transformers would name all that do, or miss the head."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

    said = read_object(folder / "config.json")
    kind, classes = str(said.get("model_type", "")), map(str, said.get("architectures") or ())
    two_sided = kind in MASKED and not said.get("is_decoder")
    written = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in classes)
    if said.get("is_encoder_decoder") or (two_sided and not written):
        what = "an encoder with a decoder" if said.get("is_encoder_decoder") else "an encoder"
        raise ModelLoadError(
            f"{folder}: {what} ({kind}), and this backend runs models that write token by token",
            hint="convert an encoder to GGUF: the backend llama_cpp embeds with it",
        )


def _refuse_state(path: Path, module: Any) -> None:
    """A state that all tokens went into cannot be cut, nor moved between passes as keys are."""
    layers = getattr(module.config.get_text_config(), "layer_types", None) or ()
    other = any("attention" not in layer or "linear" in layer for layer in layers)
    if other or getattr(module, "_is_stateful", False):
        raise ModelLoadError(
            f"{path}: its layers keep a recurrent state ({module.config.model_type}), which this "
            "backend does not run",
            hint="convert it to GGUF: the backend llama_cpp runs it",
        )


def _options(
    dtype: Dtype, device: str, packing: Packing | None, quantize: Quantize
) -> dict[str, Any]:
    """What `from_pretrained` is told, whatever it reads from."""
    wide = getattr(library.load()[0], dtype)
    # What is missing or too much is refused afterwards, by name.
    options = {"dtype": wide, "output_loading_info": True, "ignore_mismatched_sizes": True}
    of_bitsandbytes = bool(quantize or (packing and not packing.unpacked))
    if of_bitsandbytes:
        require("bitsandbytes")
    if quantize:
        options["quantization_config"] = _bitsandbytes(quantize, wide)
    if device == "auto" or of_bitsandbytes:
        options["device_map"] = device
    return options


def _from_files(path: Path, options: Mapping[str, Any], packing: Packing | None) -> tuple[Any, Any]:
    """A GGUF, or a folder as it is, and the report."""
    transformers = library.load()[1]
    is_gguf = not path.is_dir()
    of_kind: dict[str, Any] = {"gguf_file": path.name} if is_gguf else {"use_safetensors": True}
    if is_gguf and hasattr(transformers, "GgufConfig"):
        # Else it would compute with packed weights where it finds a kernel for them.
        of_kind["quantization_config"] = transformers.GgufConfig(dequantize=True)
    if packing:
        of_kind["config"] = _computing_in(path, options["dtype"])
    made: tuple[Any, Any] = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent if is_gguf else path,
        local_files_only=True,
        trust_remote_code=False,
        **of_kind,
        **options,
    )
    return made


def _dequantized(path: Path, dtype: Dtype, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """A GGUF, from where its weights are kept or else from itself, and the report."""
    from gateway.backends.transformers.kept_weights import kept_weights

    kept = kept_weights(path, dtype, options)
    if kept is not None and (found := kept.find()) is not None:
        return kept.load(found, options)
    loaded, report = _from_files(path, options, None)
    if kept is not None and not report["missing_keys"] and not report["mismatched_keys"]:
        kept.keep(loaded)
    return loaded, report


def _config(folder: Path) -> Any:
    return library.load()[1].AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )


def _computing_in(folder: Path, dtype: Any) -> Any:
    """The configuration of a folder of bitsandbytes, but for the dtype that it computes in: that is
    the entry's."""
    config = _config(folder)
    config.quantization_config = {**config.quantization_config, "bnb_4bit_compute_dtype": dtype}
    return config


def _unpacked(folder: Path, packing: Packing, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """A folder of GPTQ or AWQ as the model that it would be, were it not packed, and the report."""
    torch, transformers = library.load()
    config = _config(folder)
    del config.quantization_config
    held = tensors(folder, packing, options["dtype"])
    if f"{HEAD}.weight" in held:
        # It was packed by itself: what reads tokens has other numbers.
        config.get_text_config().tie_word_embeddings = config.tie_word_embeddings = False
    with torch.device("meta"):
        empty = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    known = empty.state_dict()
    # AutoGPTQ gave every layer one.
    idle = {n for n in held if n.endswith(".bias") and n not in known and not held[n].any()}
    held = {name: value for name, value in held.items() if name not in idle}
    made: tuple[Any, Any] = type(empty).from_pretrained(
        None, config=config, state_dict=held, **options
    )
    if (folder / "generation_config.json").is_file():
        made[0].generation_config = transformers.GenerationConfig.from_pretrained(
            folder, local_files_only=True
        )
    return made


def _refuse_adapter(path: Path) -> None:
    """transformers would take the base that an adapter beside a GGUF names, and the adapter on it,
    instead of what was asked for."""
    if (path.parent / ADAPTER).is_file():
        raise ModelLoadError(
            f"{path}: beside it lies an adapter of PEFT ({ADAPTER}), which would be loaded too",
            hint="move the GGUF into another folder",
        )


def _refuse_whole_numbers(folder: Path) -> None:
    """Weights of 8 bits, say, of which config.json does not tell the scales; transformers takes the
    whole numbers for weights. A file that cannot be read is for transformers to tell."""
    found = []
    for file in folder.glob("*.safetensors"):
        with suppress(SafetensorError, OSError), safe_open(file, framework="np") as read:
            kinds = {name: str(read.get_slice(name).get_dtype()) for name in map(str, read.keys())}
            found += [name for name, kind in kinds.items() if kind == "BOOL" or kind[:1] in "IU"]
    if names := [name for name in found if name.endswith((".weight", ".bias"))]:
        raise ModelLoadError(
            f"{folder}: whole numbers where weights are expected: {first_names(names)}",
            hint="they are quantized in a way of which config.json says nothing: pull it again",
        )


def _check_generation(file: Path) -> None:
    """transformers passes over a file that it cannot read, and the model may then never stop."""
    if file.is_file():
        read_object(file)


def _unread(path: Path, module: Any) -> list[str]:
    """Tensors of a GGUF that transformers 5 passes over without a word: biases, layers beyond those
    that its metadata count, factors of a rotary embedding. Those that are known are applied.

    Told for the families whose names are known; a mixture's experts have no module each.
    """
    header = read_model(path)
    if header.architecture not in GGUF_OF.values():
        return []
    blocks = int(header.of_architecture("block_count") or 0)
    names = tensor_names(header.architecture, blocks)
    parts = [key.rpartition(".") for key in module.state_dict()]
    known = {f"{names.get_name(place)}.{part}" for place, _, part in parts}
    applied = {rope.NAME} if rope.apply(header, module) else set()
    return sorted({tensor.name for tensor in header.tensors} - known - applied)


def _refuse_gaps(path: Path, report: Mapping[str, Any]) -> None:
    shapes = [
        f"{name} ({_by(found)}, the model's is {_by(wanted)})"
        for name, found, wanted in report["mismatched_keys"]
    ]
    wrong = {
        "it lacks": report["missing_keys"],
        "the model has no place for": report["unexpected_keys"],
        "of another shape:": shapes,
    }
    if said := "; ".join(f"{what} {first_names(names)}" for what, names in wrong.items() if names):
        hint = _cure(wrong, is_gguf=not path.is_dir())
        raise ModelLoadError(f"{path}: not the weights of its model: {said}", hint=hint)


def _cure(wrong: Mapping[str, Collection[str]], *, is_gguf: bool) -> str:
    names = [name for named in wrong.values() for name in named]
    if any("base_model.model." in name for name in names):
        return "it was saved with PEFT around it: save what merge_and_unload() returns"
    if any(name.endswith((".qweight", ".absmax", ".SCB")) for name in names):
        return (
            "it is packed, and config.json does not say how: its quantization_config is lacking "
            "(an older folder has it in quantize_config.json)"
        )
    if is_gguf:
        return "transformers does not read all of this file; llama.cpp may: the backend llama_cpp"
    return "a file may be missing, or of another model than the configuration: pull it again"


def _by(shape: Collection[int]) -> str:
    return " x ".join(map(str, shape))


class _NoReport(logging.Filter):
    """What the report lists becomes an error, but for failed conversions: only it names them."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return "LOAD REPORT" not in text or "CONVERSION" in text


@contextmanager
def _without_report() -> Iterator[None]:
    logger, silence = logging.getLogger("transformers.modeling_utils"), _NoReport()
    logger.addFilter(silence)
    try:
        yield
    finally:
        logger.removeFilter(silence)


def _bitsandbytes(quantize: Quantize, dtype: Any) -> Any:
    """What transformers has bitsandbytes do, computing in `dtype`."""
    if quantize == "int8":
        return library.load()[1].BitsAndBytesConfig(load_in_8bit=True)
    return library.load()[1].BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def load_unpacked(path: Path, *, dtype: Dtype, device: str) -> Any:
    """As `load_module`, with weights that are numbers, also where the folder has packed ones."""
    module = load_module(path, dtype=dtype, device=device, quantize="")
    if getattr(module, "hf_quantizer", None) is None:
        return module
    module = module.dequantize()
    forget_quantization(module)
    # How the tensors were packed; transformers would do it again as it saves.
    kept = [each for each in getattr(module, "_weight_conversions", None) or () if _turns(each)]
    module._weight_conversions = kept
    return module


def _turns(conversion: Any) -> bool:
    """Whether what was done to tensors as they were read can be undone."""
    try:
        conversion.reverse_transform()
    except NotImplementedError:
        return False
    return True


def forget_quantization(module: Any) -> None:
    """Take off what transformers notes of a dequantized GGUF: it forbids training and saving."""
    for holder, name in (
        (module, "hf_quantizer"),
        (module, "quantization_method"),
        (module.config, "quantization_config"),
    ):
        if hasattr(holder, name):
            delattr(holder, name)
    module.is_quantized = False
