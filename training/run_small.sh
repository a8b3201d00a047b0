#!/usr/bin/env bash
# A toy twin of the embedder's training: the whole road, every task, in about ten minutes on two CPU cores.
#   training/run_small.sh DATA START [RUN]
# DATA holds qa_train/, parallel/, prose/ and eval/; START is a sentence-transformers folder to begin from.
# The model it writes is no good; that each step runs, and that the development figures move, is the point.
set -euo pipefail
data=${1:?the data folder}
start=${2:?the starting weights}
run=${3:-$(dirname "$0")/runs/small}
here=$(dirname "$0")
rm -rf "$run"
python "$here/embedder.py" train --data "$data" --start "$start" --run "$run" \
  --limit 1500 --copies 1 --batch 32 --steps 40 --minutes 4 --every 2 --warmup 5
python "$here/embedder.py" finish --data "$data" --start "$start" --run "$run" --out "$run/model" \
  --tolerance 0.05 --no-xquad
