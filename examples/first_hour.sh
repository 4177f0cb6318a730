#!/usr/bin/env bash
# A practitioner's first hour in a minute: pictures in, a network within a latency target out, as files and a page.
#
# Run: bash examples/first_hour.sh [FOLDER]. It makes pictures of odd sizes from Fashion-MNIST (Debian's
# dataset-fashion-mnist, or OGIVE_FASHION_MNIST), else from the digits of scikit-learn, and needs ogive with its extras
# onnx and images; the last step takes a screenshot where there is a Chromium.
set -euo pipefail
set -m # jobs in the background take Ctrl-C, as in a terminal

mkdir -p "${1:=first-hour}" && cd "$1"
EPOCHS=${EPOCHS:-2} BUDGET=${BUDGET:-3} CLASSES=${CLASSES:-4} EACH=${EACH:-40} FORMATS=${FORMATS:-torch,onnx}

step() { printf '\n== %s\n' "$*"; }

step "photos/: a folder of pictures a class, each of another size"
python - "$CLASSES" "$EACH" <<'PICTURES'
import gzip, os, sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

classes, each = map(int, sys.argv[1:])
place = Path(os.environ.get("OGIVE_FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
if (place / "t10k-images-idx3-ubyte.gz").exists():
    read = lambda name: gzip.decompress((place / f"t10k-{name}-ubyte.gz").read_bytes())
    images = np.frombuffer(read("images-idx3"), np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.frombuffer(read("labels-idx1"), np.uint8, offset=8)
else:
    digits = load_digits()
    images, labels = (255 / 16 * digits.images).astype(np.uint8), digits.target
sizes = np.random.default_rng(0)
for label in range(classes):
    folder = Path("photos", f"class-{label}")
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images[labels == label][:each]):
        wide, high = (int(side) for side in sizes.integers(17, 45, 2))
        Image.fromarray(image).resize((wide, high)).save(folder / f"{number}.png")
PICTURES

SEARCH=(ogive search --space nasbench201 --data "images:photos(size=16)" --strategy "evolution(population=2, tournament=2)"
  --evaluator "together(trained(epochs=$EPOCHS, threads=1), latency)" --objective "latency_tradeoff(target_ms=5)"
  --channels 4 --cells 1 --budget "$BUDGET" --seed 0)

step "what was understood, and how long it would take"
"${SEARCH[@]}" --dry-run

step "a search, and Ctrl-C after its first trial"
"${SEARCH[@]}" --out run &
search=$!
until [ -s run/trials.jsonl ] || ! kill -0 $search 2>/dev/null; do sleep 0.1; done
kill -INT $search 2>/dev/null || true
wait $search || echo "interrupted, with $(wc -l <run/trials.jsonl) of $BUDGET trials stored"

step "it goes on"
ogive resume run
ogive front run

step "the winner is trained, and taken away"
ogive train run --recipe "epochs=$EPOCHS"
ogive export run --to "$FORMATS"

step "winner.py in a Python that knows no ogive"
python -I - run/artifacts/export/winner.py photos/class-0/0.png photos/class-1/0.png <<'WITHOUT'
import runpy, sys

sys.modules["ogive"] = None  # an import of it fails
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
WITHOUT

step "the page"
ogive report run --out report.html
for browser in chromium chromium-browser google-chrome; do
  command -v $browser >/dev/null || continue
  $browser --headless --no-sandbox --disable-gpu --virtual-time-budget=4000 --window-size=1200,3000 \
    --user-data-dir="$PWD/browser" --screenshot="$PWD/report.png" "file://$PWD/report.html" >/dev/null 2>&1
  rm -rf browser
  echo "report.png shows it"
  break
done
