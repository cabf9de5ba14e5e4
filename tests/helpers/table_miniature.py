"""Makes a miniature of a table of one's own: songs by name, artists, some deviations, and rows that cannot be used."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.helpers.deam_miniature import tone, write_mp3

SONGS = 12
SCALE = "0..10"
BAD = {
    14: "no file",
    15: "expected a number from 0 to 10",
    16: "second row for this file; that of line 2 counts",
    18: "lies outside of the table's folder",
}
"""Line -> part of the reason; line 17 is blank."""


def make(root: Path, sound: bool = True) -> Path:
    """Write the miniature below `root`, with sound of a second per song, or empty files."""
    rng = np.random.default_rng(8)
    (root / "my songs").mkdir(parents=True)
    # As an office program of half of Europe writes it: a byte order mark, semicolons, decimal commas.
    lines = ["File;Valence;Arousal;valence_sd;mood;arousal_sd;Artist;Genre"]
    for n in range(SONGS):
        path = root / "my songs" / f"Song {n}.mp3"
        if sound:
            write_mp3(path, tone(9000 + 20 * n, 22_050, 1.1, 1), 22_050)
        else:
            path.touch()
        valence, arousal = (f"{value:.2f}".replace(".", ",") for value in rng.uniform(1, 9, 2))
        deviations = ("", "") if n % 3 == 0 else ("1,5", "2")
        artist = "the same BAND" if n == 0 else f"Artist {n // 2}"
        lines.append(f"my songs/Song {n}.mp3;{valence};{arousal};{deviations[0]};;{deviations[1]};{artist};Pop")
    lines += [
        "my songs/lost.mp3;5;5;;;;;",
        "my songs/Song 1.mp3;11;5;;;;;",
        "my songs/Song 0.mp3;5;5;;;;;",
        "",
        "../x.mp3;5;5",
    ]
    lines[14] = "my songs/high.mp3;10,5;5;;;;;"
    shutil.copy(root / "my songs" / "Song 1.mp3", root / "my songs" / "high.mp3")
    (root / "ratings.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    return root
