"""`python -m tools.android_apk`: checks a built APK, and says what is in it.

One proven program with its golden pairs, no permission but the microphone's, no test code in the dex, native libraries
that load on devices with 16 KB pages: aligned in the zip and in their own segments.
"""

from __future__ import annotations

import re
import struct
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.golden import GOLDEN_FILES
from pocketmood import command
from pocketmood.errors import PocketmoodError

PAGE = 16 * 1024
PERMISSIONS = {"android.permission.RECORD_AUDIO"}
GOLDEN = {f"assets/bundle/{name}" for name in GOLDEN_FILES}
# Names that only tests have: R8 keeps what is reachable, and nothing of theirs must be.
NOT_SHIPPED = (b"org/junit", b"org/robolectric", b"FakeModel", b"FakeSource", b"TinyBundle", b"ScreenTest")
_LOAD = 1
"""PT_LOAD: a segment of an ELF file that is mapped into memory."""


class ApkError(PocketmoodError):
    """An APK that must not ship."""


@dataclass(frozen=True)
class ApkConfig:
    """What to check, and with what."""

    apk: Path
    """the APK"""
    aapt2: str = "aapt2"
    """the Android asset packaging tool"""


def main(args: Sequence[str] | None = None) -> int:
    """Check the APK of a command line."""
    return run(command.parse(ApkConfig, "python -m tools.android_apk", __doc__, args, positional=True))


def run(config: ApkConfig) -> int:
    """Check an APK; raise ApkError with everything that is wrong, one fault per line."""
    dump = [config.aapt2, "dump", "permissions", str(config.apk)]
    permissions = subprocess.run(dump, check=True, capture_output=True, text=True).stdout
    with zipfile.ZipFile(config.apk) as apk:
        faults = [*wrong_permissions(permissions), *wrong_assets(apk), *wrong_dex(apk), *wrong_libraries(apk)]
        if faults:
            raise ApkError("\n".join(f"{config.apk}: {fault}" for fault in faults))

        libraries = [name for name in apk.namelist() if name.endswith(".so")]
        size = config.apk.stat().st_size / 1e6
        print(f"{config.apk}: {size:.1f} MB, one program, no permission but the microphone, {len(libraries)} libraries")
    return 0


def wrong_permissions(dump: str) -> list[str]:
    """Name what the app may do beyond listening; `dump` is what `aapt2 dump permissions` prints."""
    asked = set(re.findall(r"^uses-permission: name='([^']+)'", dump, re.MULTILINE))
    extra = [f"asks for {name}; sound must not leave the device" for name in sorted(asked - PERMISSIONS)]
    return extra + [f"does not ask for {name}" for name in sorted(PERMISSIONS - asked)]


def wrong_assets(apk: zipfile.ZipFile) -> list[str]:
    """Name what is missing of the bundle, and programs beyond the one."""
    names = set(apk.namelist())
    programs = sorted(name for name in names if name.endswith(".pte"))
    faults = [f"holds {len(programs)} programs ({', '.join(programs)}), not one"] if len(programs) != 1 else []
    wanted = GOLDEN | {"assets/bundle/bundle.json", "assets/bundle/parity.json"}
    return faults + [f"lacks {name}; run make android BUNDLE=folder" for name in sorted(wanted - names)]


def wrong_dex(apk: zipfile.ZipFile) -> list[str]:
    """Name test code that got into the app."""
    dex = {name: apk.read(name) for name in apk.namelist() if re.fullmatch(r"classes\d*\.dex", name)}
    if not dex:
        return ["holds no classes.dex"]
    return [f"{name} holds {word.decode()}" for name, data in dex.items() for word in NOT_SHIPPED if word in data]


def wrong_libraries(apk: zipfile.ZipFile) -> list[str]:
    """Name native libraries that a device with 16 KB pages cannot load."""
    faults = []
    for info in apk.infolist():
        if not info.filename.endswith(".so"):
            continue
        data = apk.read(info)
        if data[4:5] != b"\x02":
            continue  # 32-bit devices have 4 KB pages
        smallest = min(segment_alignments(data))
        if smallest < PAGE:
            faults.append(f"{info.filename}: segments aligned to {smallest} bytes, not to {PAGE}")
        if info.compress_type == zipfile.ZIP_STORED and data_offset(apk, info) % PAGE:
            faults.append(f"{info.filename}: starts at no multiple of {PAGE} in the APK; use zipalign -P 16")
    return faults


def segment_alignments(elf: bytes) -> list[int]:
    """Return p_align of every loaded segment of a 64-bit little-endian ELF file."""
    if elf[:6] != b"\x7fELF\x02\x01":
        raise ApkError("a native library is no 64-bit little-endian ELF file")
    # e_phoff, then e_phentsize and e_phnum of an ELF64 header.
    (offset,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    headers = (struct.unpack_from("<IIQQQQQQ", elf, offset + i * size) for i in range(count))
    return [header[7] for header in headers if header[0] == _LOAD]


def data_offset(apk: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Return where an entry's bytes begin in the file: behind its local header, whose extra field may be padded."""
    assert apk.fp is not None
    # The central directory gives no length of this header, and zipfile reads from the same file: its place is restored.
    position = apk.fp.tell()
    apk.fp.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", apk.fp.read(4))
    apk.fp.seek(position)
    return int(info.header_offset + 30 + name + extra)


if __name__ == "__main__":
    command.start(main)
