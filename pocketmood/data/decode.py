"""Decode a list of clips into a clip store: in parallel, with a progress bar, and continuing where a kill stopped it.

Workers only decode; this process appends their rows in the order of the list. So the result is the same for any number
of workers, the map never has holes where a file was bad, and a journal with a line per finished clip is all that is
needed to continue: the map is cut back to the rows that the journal knows.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketmood import audio
from pocketmood.data.clips import MAP_FILE, Clip, ClipStore, finish, to_int16
from pocketmood.errors import AudioError, DataError
from pocketmood.processes import cores, start_worker
from pocketmood.runs import Stage, fingerprint
from pocketmood.spec import MelSpec

JOURNAL_FILE = "journal.jsonl"
# Starting a process costs as much as decoding this many clips.
_FEWEST_FOR_A_POOL = 16
_AHEAD_PER_WORKER = 4

Row = NDArray[np.int16]


class Failure(NamedTuple):
    """A clip that is not in the store, and why."""

    id: str
    reason: str


class Entry(NamedTuple):
    """A line of the journal: a finished clip, why it failed ("" if it did not), and a hash of its sound."""

    id: str
    error: str
    sound: str


def build(
    clips: Sequence[Clip], spec: MelSpec, parent: Path, workers: int = 0, name: str = "store"
) -> tuple[ClipStore, list[Failure]]:
    """Make the store `parent/name` of all clips whose audio is good; return it with those that are not.

    workers: processes that decode; 0 means one per core that this process may use. A clip whose sound equals that of
    an earlier one, sample by sample, is a failure too: under two ids it could be trained on and tested on. DataError
    where no clip is good, or the disk is full (then the same call continues).
    """
    identity = [(c.id, c.label, c.deviation, c.artist, c.corpus, _audio_hash(c), c.start_s) for c in clips]
    stage = Stage(parent, name, {"spec": spec.to_dict()}, {"clips": fingerprint(identity)})
    if not stage.up_to_date(quiet=True):
        with stage.work() as folder:
            _refuse_full_disk(folder, len(clips), spec)
            entries = _decode_all(clips, spec, folder, workers or cores())
            good = [clip for clip, entry in zip(clips, entries, strict=True) if not entry.error]
            failures = [Failure(entry.id, entry.error) for entry in entries if entry.error]
            if not good:
                first = f" First: {failures[0].reason}" if failures else ""
                raise DataError(f"none of {len(clips)} audio files could be used.{first}")
            finish(folder, good, spec)
            (folder / JOURNAL_FILE).unlink()
            stage.record["failures"] = failures
    return ClipStore.open(parent / name), [Failure(*failure) for failure in stage.record["failures"]]


def sample_hash(path: Path) -> str:
    """Return a quick fingerprint of a large file: its size and 4 KiB from its middle."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size // 2 - 2048))
            return f"{size}-{hashlib.sha256(file.read(4096)).hexdigest()[:16]}"
    except OSError:
        return "unreadable"


def _audio_hash(clip: Clip) -> str:
    if clip.path is None:
        raise DataError(f"clip {clip.id}: has no audio file to decode")
    return sample_hash(clip.path)


def _decode_all(clips: Sequence[Clip], spec: MelSpec, folder: Path, workers: int) -> list[Entry]:
    """Append what is still missing to map and journal; return the whole journal."""
    from tqdm import tqdm

    row_bytes = spec.samples * 2
    entries = _resume(folder, row_bytes)
    known = {entry.sound: entry.id for entry in entries if not entry.error}
    rows = _rows(clips[len(entries) :], spec, workers)
    with (
        (folder / MAP_FILE).open("ab", buffering=0) as map_file,
        (folder / JOURNAL_FILE).open("ab", buffering=0) as journal,
        contextlib.closing(rows),
        tqdm(
            total=len(clips), initial=len(entries), desc="decode", unit="clip", disable=not sys.stderr.isatty()
        ) as bar,
    ):
        for clip, (row, error) in zip(clips[len(entries) :], rows, strict=True):
            sound = hashlib.sha256(row.tobytes()).hexdigest() if row is not None else ""
            if row is not None and sound in known:
                error = f"{clip.path}: sounds exactly like clip {known[sound]}, which is used"
            known.setdefault(sound, clip.id)
            entry = Entry(clip.id, error, sound)
            try:
                if row is not None and not error:
                    _append(map_file, row.tobytes())
                _append(journal, f"{json.dumps(entry)}\n".encode())
            except OSError as problem:
                raise _full(problem, folder, len(entries), len(clips), row_bytes) from problem
            entries.append(entry)
            bar.update()
    return entries


def _append(file: RawIOBase, data: bytes) -> None:
    """Write all of it, unbuffered: what a full disk refuses must not be tried again when the file is closed."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _resume(folder: Path, row_bytes: int) -> list[Entry]:
    """Return the clips that an earlier, killed run finished; cut the map back to their rows."""
    journal, map_path = folder / JOURNAL_FILE, folder / MAP_FILE
    if not (journal.is_file() and map_path.is_file()):
        map_path.write_bytes(b"")
        journal.write_text("")
        return []

    entries: list[Entry] = []
    rows = 0
    there = map_path.stat().st_size // row_bytes
    for line in journal.read_text().splitlines(keepends=True):
        # The last line may be torn, and after a power cut rows may be missing that the journal knows.
        with contextlib.suppress(json.JSONDecodeError, TypeError):
            entry = Entry(*json.loads(line))
            rows += not entry.error
            if line.endswith("\n") and rows <= there:
                entries.append(entry)
                continue
        break

    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    os.truncate(map_path, sum(not entry.error for entry in entries) * row_bytes)
    return entries


def _rows(clips: Sequence[Clip], spec: MelSpec, workers: int) -> Generator[tuple[Row | None, str]]:
    """Yield (row, "") or (None, reason) per clip, in order, decoded here or by so many processes."""
    places = [(clip.path, clip.start_s) for clip in clips if clip.path is not None]
    if workers <= 1 or len(places) < _FEWEST_FOR_A_POOL:
        yield from (_decode(path, spec, start_s) for path, start_s in places)
        return

    # Forked children would inherit the locks and threads of whatever else this process has loaded.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(places)), context, start_worker)
    # A few clips ahead of the writer, no more: decoded rows wait in this process's memory.
    pending: deque[Future[tuple[Row | None, str]]] = deque()
    try:
        for path, start_s in places:
            pending.append(pool.submit(_decode, path, spec, start_s))
            if len(pending) >= workers * _AHEAD_PER_WORKER:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            "a decoding process died (out of memory, or a file that crashes the decoder). Finished clips are kept: run "
            "the same command again, with --workers 1 if it happens twice"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(path: Path, spec: MelSpec, start_s: float | None = None) -> tuple[Row | None, str]:
    try:
        return to_int16(audio.load(path, spec, start_s)), ""
    except AudioError as error:
        return None, str(error)


def _refuse_full_disk(folder: Path, clips: int, spec: MelSpec) -> None:
    """Say before an hour of work that the disk cannot hold the map."""
    there = (folder / MAP_FILE).stat().st_size if (folder / MAP_FILE).is_file() else 0
    needed = clips * spec.samples * 2 - there
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder}: {clips} clips need {needed / 1e9:.1f} GB more, {free / 1e9:.1f} GB are free. Make room, or "
            "choose another run folder"
        )


def _full(problem: OSError, folder: Path, done: int, of: int, row_bytes: int) -> Exception:
    if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
        return problem
    return DataError(
        f"{folder}: the disk is full after {done} of {of} clips. Make {(of - done) * row_bytes / 1e9:.1f} GB of room "
        "and run the same command again: it continues from here"
    )
