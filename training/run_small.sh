#!/usr/bin/env bash
# A toy twin of the training: the whole road of both models, every task, in about ten minutes on two CPU cores.
#   training/run_small.sh DATA START [RUN]
# DATA holds qa_train/, parallel/, prose/ and eval/; START is a sentence-transformers folder to begin from.
# The models it writes are no good; that each step runs, and that the development figures move, is the point.
set -euo pipefail
data=${1:?the data folder}
start=${2:?the starting weights}
run=${3:-training/runs/small}
export PYTHONPATH="$(dirname "$0")/..${PYTHONPATH:+:$PYTHONPATH}"
rm -rf "$run"
python -m training.embedder train --data "$data" --start "$start" --run "$run/e" \
  --limit 1500 --copies 1 --batch 32 --steps 40 --minutes 4 --every 2 --warmup 5
python -m training.embedder finish --data "$data" --start "$start" --run "$run/e" --out "$run/embedder" \
  --tolerance 0.05 --no-xquad
python -m training.reader train --data "$data" --start "$run/embedder" --run "$run/r" \
  --limit 300 --batch 16 --steps 60 --minutes 4 --warmup 10
python -m training.reader finish --start "$run/embedder" --run "$run/r" --out "$run/reader"
