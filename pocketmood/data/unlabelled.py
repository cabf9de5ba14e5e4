"""Music without ratings: any folder of audio files becomes clips that the teacher labels for the student.

A long piece may give several clips (`even_starts`); one that cannot be opened gives one, so that decoding it says
in the table of rejects what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pocketmood import audio
from pocketmood.data.clips import Clip
from pocketmood.data.corpora.files import Reject, walk
from pocketmood.errors import AudioError, DataError


def files(folder: Path | None) -> list[Path]:
    """Return all audio files in or below a folder, by path; none for no folder."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of unlabelled music")
    found = [path for path in walk(folder) if path.suffix.lower() in audio.SUFFIXES]
    if not found:
        raise DataError(f"{folder}: no audio files in or below it ({', '.join(audio.SUFFIXES)})")
    return found


def clips(paths: Sequence[Path], clip_s: float, most: int = 1) -> tuple[list[Clip], list[Reject]]:
    """Make clips without labels, up to `most` of each piece; of several files with the same stem the first is used.

    Their ids are `unlabelled-STEM`, or `unlabelled-STEM-1` and so on where a piece may give more than one.
    """
    first: dict[str, Path] = {}
    found: list[Clip] = []
    rejects = []
    for path in paths:
        id_ = f"unlabelled-{path.stem}"
        if id_ in first:
            rejects.append(Reject(id_, str(path), f"second unlabelled file of this name; {first[id_]} is used"))
            continue
        first[id_] = path
        if most == 1:
            found.append(Clip(id_, path, None, None))
        else:
            starts = _starts(path, clip_s, most)
            found += [Clip(f"{id_}-{n}", path, None, None, start_s=start) for n, start in enumerate(starts, 1)]
    return found, rejects


def even_starts(whole_s: float, clip_s: float, most: int) -> list[float]:
    """Place up to `most` clips evenly in a file of `whole_s` seconds, none over another; return where they begin.

    The gaps before, between and after them are equal, so that a single clip is the file's middle. A file too short for
    two holds one, which begins at 0 where the file is shorter than a clip.
    """
    # The quarter of a second on either side must be there as well, or the resampler's edge would be in the clip.
    room_s = whole_s - 2 * audio.MARGIN_S
    count = max(1, min(most, int(room_s // clip_s)))
    gap_s = max(0.0, (room_s - count * clip_s) / (count + 1))
    if whole_s < clip_s + 2 * audio.MARGIN_S:
        return [max(0.0, (whole_s - clip_s) / 2)]
    return [audio.MARGIN_S + gap_s + number * (clip_s + gap_s) for number in range(count)]


def _starts(path: Path, clip_s: float, most: int) -> list[float | None]:
    try:
        return [*even_starts(audio.duration_s(path), clip_s, most)]
    except AudioError:
        return [None]
