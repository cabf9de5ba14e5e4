"""Packages of Debian (section main) that hold recorded music, their licences, and the record of what was fetched.

Pieces: how many of at least `recordings.SHORTEST_S` seconds Debian 12 has. Licences: as the package's own `copyright`
file states them for its music, in Debian's short names; several where pieces differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pocketmood.records import from_json
from pocketmood.runs import read_json

RECORD_FILE = "package.json"


@dataclass(frozen=True)
class Package:
    """A package, and what of it is music."""

    name: str
    """Debian's name."""
    pieces: int
    """Pieces of music in it."""
    licence: str
    """Of the music."""
    folder: str = ""
    """Part of the path of every piece, where the package also holds long sounds that are no music."""
    without: str = ""
    """Part of the path of what is no piece of its own: a single instrument, the same music played faster."""


@dataclass(frozen=True)
class Piece:
    """A piece of music that was fetched."""

    file: str
    """Its name in the package's folder."""
    source: str
    """Its path in the package; behind a "!" its path in an archive there."""
    sha256: str
    """Of the file."""
    seconds: float
    """Its length."""
    same_as: str = ""
    """The piece that holds the same music and is kept instead: then this file is gone."""


@dataclass(frozen=True)
class PackageRecord:
    """A package whose music is here: `package.json`."""

    package: str
    """Debian's name."""
    version: str
    """Debian's version."""
    deb_sha256: str
    """Of the downloaded package."""
    licence: str
    """Of its music."""
    pieces: tuple[Piece, ...]
    """All music that it holds."""

    @property
    def kept(self) -> list[Piece]:
        """The pieces that no other one stands for."""
        return [piece for piece in self.pieces if not piece.same_as]

    @staticmethod
    def load(folder: Path) -> PackageRecord:
        """Read the record of a package's folder."""
        path = folder / RECORD_FILE
        return from_json(PackageRecord, read_json(path), str(path), "delete its folder and fetch it again")


PACKAGES = (
    Package("adonthell-data", 8, "GPL-2+", "audio/"),
    Package("amoebax-data", 8, "GPL-2+", "music/"),
    Package("angrydd", 3, "GPL-2", "music/"),
    Package("ardentryst", 14, "CC-BY-SA 3.0", "Music/"),
    Package("asc-music", 3, "GPL-2+"),
    Package("colobot-common-sounds", 21, "GPL-3+", "music/"),
    Package("davegnukem-data", 13, "Expat or GPL-2 or GPL-3", "music/"),
    Package("drascula-music", 28, "free to copy and change, not to be sold by itself"),
    Package("enigma-data", 9, "GPL", "music/"),
    Package("extremetuxracer-data", 6, "GPL-2+", "music/"),
    Package("fillets-ng-data", 13, "GPL-2+", "music/"),
    Package("flare-game", 12, "CC-BY-SA 3.0+", "music/"),
    Package("freecol", 6, "CC-BY 4.0", "music/"),
    Package("freedroidrpg-data", 16, "GPL-2+", "music/"),
    Package("fretsonfire-songs-muldjord", 4, "CC-BY-SA 3.0", "", "guitar.ogg"),
    Package("fretsonfire-songs-sectoid", 4, "Expat (MIT)", "", "guitar.ogg"),
    Package("frozen-bubble-data", 3, "GPL-2", "snd/"),
    Package("gigalomania-data", 4, "CC-BY 3.0", "music/"),
    Package("glob2-data", 4, "GPL-3+", "zik/"),
    Package("gunroar-data", 4, "BSD-2-clause", "musics/"),
    Package("hedgewars-data", 26, "GPL-2", "Music/"),
    Package("hex-a-hop-data", 3, "CC-BY-SA 3.0"),
    Package("holotz-castle-data", 5, "GPL-2+", "sound/"),
    Package("hyperrogue-music", 17, "CC-BY-SA 3.0", "music/"),
    Package("lincity-ng-data", 3, "GPL-2+", "music/"),
    Package("lordsawar-data", 5, "GPL-3+", "music/"),
    Package("lugaru-data", 5, "CC-BY-SA 3.0", "Sounds/Music"),
    Package("marsshooter-data", 12, "CC-BY-SA 3.0", "audio/"),
    Package("mazeofgalious-data", 4, "GPL", "jorito/"),
    Package("megaglest-data", 9, "CC-BY-SA 3.0", "music/"),
    Package("mu-cade-data", 4, "BSD-2-clause", "musics/"),
    Package("naev-data", 52, "GPL-2+, GPL-3+, CC-BY 3.0, CC-BY-SA 3.0", "music/"),
    Package("neverball-common", 8, "GPL-2+", "bgm/"),
    Package("nexuiz-music", 18, "GPL-2+"),
    Package("noiz2sa-data", 7, "BSD-2-clause", "sounds/"),
    Package("openarena-088-data", 7, "GPL-2+", "music/"),
    Package("openclonk-data", 8, "CC-BY 3.0, CC0", "Music.ocg"),
    Package("parsec47-data", 4, "BSD-2-clause", "sounds/"),
    Package("planetblupi-music-ogg", 10, "GPL-3+"),
    Package("plee-the-bear-data", 7, "CC-BY-SA 3.0", "music/", "sequencer/"),
    Package("powermanga-data", 3, "GPL-3+", "music_"),
    Package("pushover-data", 10, "GPL-3+", "themes/"),
    Package("rrootage-data", 3, "BSD-2-clause", "sounds/"),
    Package("scorched3d-data", 3, "GPL-2+", "music/"),
    Package("searchandrescue-data", 7, "GPL", "music/"),
    Package("singularity-music", 16, "CC-BY-SA 3.0"),
    Package("starfighter-data", 11, "GPL-2+", "music/"),
    Package("supertux-data", 47, "GPL-2+", "music/"),
    Package("supertuxkart-data", 30, "CC-BY-SA 3.0 and 4.0, CC-BY 3.0 and 4.0, GPL-3+, CC0", "music/", "_fast.ogg"),
    Package("titanion-data", 3, "BSD-2-clause", "musics/"),
    Package("torus-trooper-data", 4, "BSD-2-clause", "musics/"),
    Package("trackballs-data", 9, "GPL-2+, Ethymonics Free Music License", "music/"),
    Package("tumiki-fighters-data", 6, "BSD-2-clause", "sounds/"),
    Package("tuxmath-data", 4, "CC-BY-SA 3.0, public domain", "sounds/"),
    Package("ufoai-music", 63, "GPL-2, CC-BY-SA 3.0, CC-BY 3.0, public domain", "music/"),
    Package("unknown-horizons", 15, "CC-BY-SA 3.0", "music/"),
    Package("warmux-data", 13, "GPL-2+", "music/"),
    Package("warzone2100-music", 30, "GPL-2+"),
    Package("wesnoth-1.16-music", 37, "GPL-2+", "music/"),
    Package("widelands-data", 31, "GPL-2+, CC-BY-SA 3.0", "music/"),
    Package("wizznic-data", 8, "GPL-3", "music/"),
    Package("wordwarvi-sound", 5, "CC-BY-SA 3.0"),
    Package("xmoto-data", 7, "GPL-2+", "Musics/"),
    Package("zaz-data", 4, "CC-BY-SA 3.0"),
)
FEW = tuple(
    package
    for package in PACKAGES
    if package.name in ("asc-music", "fretsonfire-songs-muldjord", "fretsonfire-songs-sectoid", "singularity-music")
)
"""Those that tests listen to: about 120 MB, a metal band, guitars, electronic music and ambient."""


def table() -> str:
    """Lay the packages out as a Markdown table, for docs/recordings.md."""
    rows = [f"| {package.name} | {package.pieces} | {package.licence} |\n" for package in PACKAGES]
    total = f"| {len(PACKAGES)} packages | {sum(package.pieces for package in PACKAGES)} | |\n"
    return "".join(["| package | pieces | licence of the music |\n| --- | ---: | --- |\n", *rows, total])
