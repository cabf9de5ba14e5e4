"""The stand-in corpus: composed music with simulated ratings, on disk exactly as DEAM is.

The labels are synthetic: a formula made them from musical cues. A model that learns them proves that the toolchain
works and proves nothing about its taste in music. Layout and oddities follow `corpora/deam.py`, which reads it back;
beside DEAM's files lie `truth.csv` (what perfect listeners would have said) and a README.

Song number n (from 0) is the same music with the same ratings in every corpus of one seed, however large. Rendering can
be stopped at any time: a file is there whole or not at all, and the tables are written when all audio is there.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pocketmood import command
from pocketmood.data.corpora import deam
from pocketmood.data.corpora.contract import Corpus
from pocketmood.data.corpora.files import Files
from pocketmood.data.run_folder import TRUTH_FILE
from pocketmood.errors import ConfigError, DataError
from pocketmood.processes import cores, start_worker
from pocketmood.runs import fingerprint, read_json, write_json

PLAN_FILE = "corpus.json"
AUDIO_FOLDER = Path("DEAM_audio/MEMD_audio")
UNLABELLED_FOLDER = Path("unlabelled")
# Every tenth song goes to the second file (ids from 2001), the others in turn to the blocks of DEAM's first two years.
FIRST_IDS = (2, 1001)
SECOND_ID, UNLABELLED_ID = 2001, 10_001
MOST_SONGS = 2000
# Unlabelled music is other music: its song numbers begin where no labelled song's are.
UNLABELLED_SONG = 1_000_000


@dataclass(frozen=True)
class RenderConfig:
    """What to render, and where."""

    out: Path
    """Folder of the corpus; made if it is not there."""
    songs: int = 600
    """Rated songs, from 2 to 2000."""
    seed: int = 0
    """Another seed is other music with other ratings."""
    unlabelled: int = 0
    """Further songs without ratings, in `unlabelled/`."""
    workers: int = 0
    """Processes that render; 0 means one per core. The files are the same whatever the number."""

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered before any work."""
        if not 2 <= self.songs <= MOST_SONGS:
            raise ConfigError(f"songs is {self.songs}; between 2 and {MOST_SONGS} fit DEAM's layout")
        for name in ("seed", "unlabelled", "workers"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it cannot be negative")


class Task(NamedTuple):
    """One audio file to be made."""

    seed: int
    song: int
    path: Path


def main(args: Sequence[str] | None = None) -> int:
    """Read the words of a command line and render."""
    description = "Render a stand-in corpus (composed music, simulated ratings) in DEAM's layout."
    return run(command.parse(RenderConfig, "pocketmood render", description, args))


def run(config: RenderConfig) -> int:
    """Render what the folder still lacks of a corpus, then write its tables; returns 0."""
    from pocketmood.data.corpora.rendered_tables import write_tables
    from pocketmood.data.corpora.synthesis import check_tools

    tasks = plan(config)
    claim_folder(config)
    # The tables come last, so that their presence says that nothing was stopped halfway.
    if (config.out / TRUTH_FILE).is_file() and all(task.path.is_file() for task in tasks):
        print(f"corpus: up to date ({config.out})", flush=True)
        return 0
    check_tools()
    missing = [task for task in tasks if not task.path.is_file()]
    kept = f"; {len(tasks) - len(missing)} are there already" if len(missing) < len(tasks) else ""
    print(f"corpus: rendering {len(missing)} songs into {config.out}{kept}", flush=True)

    started = time.perf_counter()
    render_all(missing, config.workers or cores())
    seconds = time.perf_counter() - started
    numbers = [task.song for task in tasks if task.song < UNLABELLED_SONG]
    print(write_tables(config.out, config.seed, {song_id(song): song for song in numbers}))
    print("Synthetic labels on rendered music: they prove the toolchain, not the taste of a model.")
    pace = f", {len(missing) / seconds:.1f} songs/s" if missing else ""
    print(f"corpus: done in {seconds:.0f} s{pace}", flush=True)
    return 0


def find(root: Path, exclude: Path | None = None) -> Files:
    """Find a rendered corpus: DEAM's files, and the true scores that no other corpus has."""
    truth = root / TRUTH_FILE
    if root.is_dir() and not truth.is_file():
        raise DataError(
            f"{root}: no {TRUTH_FILE} here, so this is no rendered corpus, or its rendering was stopped. "
            f"`pocketmood render --out {root}` makes or finishes one; of DEAM's own files: CORPUS=deam"
        )
    files = deam.find(root, exclude)
    return replace(files, tables={**files.tables, TRUTH_FILE: truth})


def plan(config: RenderConfig) -> list[Task]:
    """List all audio files of a corpus."""
    rated = [(song, AUDIO_FOLDER / f"{song_id(song)}.mp3") for song in range(config.songs)]
    # A file name of digits alone would be a song of the data set that nobody rated, which is a reject.
    others = [
        (UNLABELLED_SONG + number, UNLABELLED_FOLDER / f"piece-{UNLABELLED_ID + number}.mp3")
        for number in range(config.unlabelled)
    ]
    return [Task(config.seed, song, config.out / path) for song, path in rated + others]


def song_id(song: int) -> int:
    """Return the DEAM id of a song number, independent of how many songs there are."""
    if song % 10 == 9:
        return SECOND_ID + song // 10
    place = song - song // 10
    return FIRST_IDS[place % 2] + place // 2


def sound_format(song: int) -> tuple[int, int]:
    """Return sample rate and channels: mostly 22 050 Hz mono, with enough others to exercise a loader.

    DEAM has 44.1 kHz nearly everywhere; half of that takes two thirds of the time to encode.
    """
    sample_rate = 48_000 if song % 50 == 7 else 44_100 if song % 10 == 3 else 22_050
    return sample_rate, 2 if song % 20 == 3 else 1


def claim_folder(config: RenderConfig) -> None:
    """Write the corpus's plan into its folder; DataError where the folder holds anything else."""
    path = config.out / PLAN_FILE
    wanted = {"songs": config.songs, "seed": config.seed, "unlabelled": config.unlabelled, "recipe": recipe()}
    if path.is_file():
        found = read_json(path)
        if found != wanted:
            changed = [name for name, value in wanted.items() if found.get(name) != value]
            differ = ", ".join(f"{name} {found.get(name)}, not {wanted[name]}" for name in changed)
            raise DataError(f"{config.out} holds another corpus ({differ}). Give another --out, or remove that folder")
        return
    # The plan itself may have been cut short, under its temporary name.
    foreign = config.out.is_dir() and [file for file in config.out.iterdir() if not file.name.startswith(PLAN_FILE)]
    if config.out.exists() and (foreign or not config.out.is_dir()):
        raise DataError(f"{config.out} exists and is no rendered corpus (no {PLAN_FILE} in it). Give another --out")
    write_json(path, wanted)


def recipe() -> str:
    """Hash what composer, raters and synthesis do, by example: changes when the same command would give other files."""
    from pocketmood.data.corpora import synthesis
    from pocketmood.data.corpora.composer import compose
    from pocketmood.data.corpora.raters import rate

    examples = [compose(0, song) for song in range(2)]
    settings = [synthesis.GAIN, synthesis.KNEE, synthesis.COMPRESSION_LEVEL, synthesis.LAYER_DB, sound_format(0)]
    opinions = [rate(piece.cues, 0, song).scores.tolist() for song, piece in enumerate(examples)]
    return fingerprint([[list(note) for note in piece.notes] for piece in examples] + [settings, opinions])


def render_all(tasks: Sequence[Task], workers: int) -> None:
    """Make all files, in parallel; when it stops for any reason, what is finished stays."""
    from tqdm import tqdm

    done = _render_here(tasks) if workers == 1 or len(tasks) < 2 else _render_in_pool(tasks, workers)
    for _ in tqdm(done, total=len(tasks), unit="song", disable=not sys.stderr.isatty()):
        pass


def _render_here(tasks: Sequence[Task]) -> Iterator[None]:
    """Make files in this process."""
    for task in tasks:
        render(task)
        yield None


def _render_in_pool(tasks: Sequence[Task], workers: int) -> Iterator[None]:
    """Make files in several processes, which end when this one does, however it ends."""
    # Spawned, not forked: the caller may have threads (torch, BLAS), which a fork would leave in an undefined state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=start_worker)
    try:
        yield from pool.map(render, tasks)
    except BrokenProcessPool as error:
        raise DataError("a rendering process was killed (out of memory?); the same command continues") from error
    finally:
        pool.shutdown(cancel_futures=True)


def render(task: Task) -> None:
    """Compose, play and encode one song."""
    from pocketmood.data.corpora.composer import compose
    from pocketmood.data.corpora.synthesis import LEAST_RATE, at_rate, mp3, play
    from pocketmood.runs import write_bytes

    sample_rate, channels = sound_format(task.song)
    sound = play(compose(task.seed, task.song), max(sample_rate, LEAST_RATE), channels)
    write_bytes(task.path, mp3(at_rate(sound, max(sample_rate, LEAST_RATE), sample_rate), sample_rate))


CORPUS = Corpus(
    name="rendered",
    title="rendered stand-in corpus",
    label_set="simulated raters on rendered music, in DEAM's layout",
    scale=deam.CORPUS.scale,
    synthetic_labels=True,
    options=deam.CORPUS.options,
    check=deam.check,
    find=find,
    clips=deam.clips,
    audit=deam.audit,
)


if __name__ == "__main__":
    command.start(main)
