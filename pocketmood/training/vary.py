"""Makes the variants of training songs: tempo by librosa's phase vocoder, pitch by that and soxr's resampling.

Sound at another pitch and its own tempo is sound at another tempo, played faster or slower. So both changes together
take one pass of the vocoder: stretched by their quotient, then resampled to the new pitch. A clip of 30 s takes .1 s.

Limits: the vocoder smears attacks over its window of 93 ms; a song that is lowered by n semitones has nothing in the
highest n semitones of the spectrogram.
"""

from __future__ import annotations

import csv
import io
import multiprocessing
import shutil
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pocketmood.data.clips import MAP_FILE, Clip, ClipStore, finish, to_int16
from pocketmood.errors import ConfigError, DataError
from pocketmood.processes import cores, start_worker
from pocketmood.runs import write_bytes, write_text
from pocketmood.spec import MelSpec
from pocketmood.training.variants import Variants, VariantsConfig, variant_id

CHANGES_FILE = "changes.csv"
"""Tempo and pitch of each variant: for people, and for studies."""
SONGS_PER_PART = 8
"""Songs whose variants are saved together: what a kill can cost, per process."""
_FEWEST_FOR_A_POOL = 64
"""Songs; librosa's import takes some 10 s of each process."""


class Change(NamedTuple):
    """How a variant differs from its song."""

    tempo: float
    """Its tempo as a multiple of the song's."""
    semitones: float
    """How far it is raised, negative for lowered."""


@dataclass(frozen=True)
class _Work:
    """What each process needs to make variants."""

    store: ClipStore
    """The songs."""
    config: VariantsConfig
    """How many variants, and how far from their song."""
    seed: int
    """Decides each variant's change, together with the song's name."""


def draw_change(config: VariantsConfig, seed: int, song: str, number: int) -> Change:
    """Draw the change of variant `number` of a song, from (seed, song, number) alone."""
    # By the song's name: another song more or less in the training part leaves all other variants as they are.
    rng = np.random.default_rng([seed, number, *song.encode()])
    octaves, share = rng.uniform(-1, 1, 2)
    return Change(float(config.stretch**octaves), float(config.semitones * share))


def changed(wave: NDArray[np.float32], change: Change) -> NDArray[np.float32]:
    """Return a waveform [S] at another tempo and pitch; it has S / tempo samples."""
    import librosa.effects
    import soxr

    pitch = 2 ** (change.semitones / 12)
    # At a rate of exactly 1 the vocoder would do nothing but cost its time.
    if (rate := change.tempo / pitch) != 1:
        wave = librosa.effects.time_stretch(wave, rate=rate)
    if pitch != 1:
        wave = soxr.resample(wave, pitch, 1, "HQ")
    return wave


def fitted(wave: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Return the middle `samples` of a waveform; a shorter one begins again after its end, as a loop."""
    if len(wave) < samples:
        # Not silence: a network would learn that fast songs end early. The seam is one frame of some hundred.
        return np.resize(wave, samples)
    first = (len(wave) - samples) // 2
    return wave[first : first + samples]


def require_librosa(config: VariantsConfig) -> None:
    """Refuse variants where librosa is missing: before the first training, not after it."""
    if config.count and find_spec("librosa") is None:
        raise ConfigError(
            f"variants count {config.count}: they are made by librosa, which is not installed here; type "
            "`pip install librosa`, or pass --variants.count 0"
        )


def make_variants(
    store: ClipStore, songs: Sequence[str], config: VariantsConfig, seed: int, folder: Path, workers: int = 0
) -> Variants:
    """Make the variants of training songs as a clip store in `folder`; parts that a killed call finished are kept.

    workers: processes; 0 means one per core that this process may use. The result is the same for any number.
    """
    require_librosa(config)
    work = _Work(store, config, seed)
    parts = [list(songs[first : first + SONGS_PER_PART]) for first in range(0, len(songs), SONGS_PER_PART)]
    paths = [folder / f"part-{number:05d}.i16" for number in range(len(parts))]
    missing = [(part, path) for part, path in zip(parts, paths, strict=True) if not path.is_file()]
    _make_parts(work, missing, len(parts), workers or cores())

    with (folder / MAP_FILE).open("wb") as whole:
        for path in paths:
            with path.open("rb") as part_file:
                shutil.copyfileobj(part_file, whole)
    clips = [store.clips[store.index(song)] for song in songs]
    varied = [_clip(clip, number + 1) for clip in clips for number in range(config.count)]
    finish(folder, varied, MelSpec(sample_rate=store.sample_rate, seconds=store.samples / store.sample_rate))
    write_text(folder / CHANGES_FILE, _changes_table(work, songs))

    # The store is whole before the parts go: a kill in between costs them once more, and changes nothing.
    for path in paths:
        path.unlink()
    return open_variants(folder, config)


def open_variants(folder: Path, config: VariantsConfig, samples: int | None = None) -> Variants:
    """Open what `make_variants` left in a folder; samples as in `ClipStore.open`."""
    return Variants(ClipStore.open(folder, samples), config.count)


def _make_parts(work: _Work, missing: list[tuple[list[str], Path]], total: int, workers: int) -> None:
    """Make the missing parts, here or in so many processes, with a bar over all parts."""
    from tqdm import tqdm

    done = _in_processes(work, missing, workers) if workers > 1 else _here(work, missing)
    hidden = not sys.stderr.isatty()
    with (
        closing(done),
        tqdm(
            total=total, initial=total - len(missing), desc="variants", unit="part", disable=hidden, leave=False
        ) as bar,
    ):
        for _ in done:
            bar.update()


def _here(work: _Work, missing: list[tuple[list[str], Path]]) -> Generator[Path]:
    """Make part after part in this process."""
    for songs, path in missing:
        yield _write_part(work, songs, path)


def _in_processes(work: _Work, missing: list[tuple[list[str], Path]], workers: int) -> Generator[Path]:
    """Make parts in processes of their own; yields as they are done, in any order."""
    if sum(len(songs) for songs, _ in missing) < _FEWEST_FOR_A_POOL:
        yield from _here(work, missing)
        return

    # Forked children would inherit the locks and threads of torch.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(missing)), context, start_worker)
    try:
        for future in as_completed([pool.submit(_write_part, work, songs, path) for songs, path in missing]):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a process that makes variants died (out of memory?). Finished ones are kept: run the same command again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_part(work: _Work, songs: Sequence[str], path: Path) -> Path:
    """Make the variants of some songs and write them, whole or not at all; returns the file."""
    rows: list[NDArray[Any]] = []
    for song in songs:
        wave = work.store.waveform(song)
        for number in range(work.config.count):
            change = draw_change(work.config, work.seed, song, number + 1)
            rows.append(to_int16(fitted(changed(wave, change), len(wave))))
    write_bytes(path, np.stack(rows).tobytes())
    return path


def _clip(song: Clip, number: int) -> Clip:
    """Describe a variant: its song's ratings under a name of its own, and no file."""
    return Clip(variant_id(song.id, number), None, song.label, song.deviation, song.artist, corpus=song.corpus)


def _changes_table(work: _Work, songs: Sequence[str]) -> str:
    """Write every variant's tempo and pitch as a CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "song", *Change._fields])
    for song in songs:
        for number in range(1, work.config.count + 1):
            tempo, semitones = draw_change(work.config, work.seed, song, number)
            writer.writerow([variant_id(song, number), song, f"{tempo:.4f}", f"{semitones:.3f}"])
    return text.getvalue()
