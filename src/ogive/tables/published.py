"""Where the files of known tables are published: what is said when one of them is not imported."""

from __future__ import annotations

__all__ = ["GETTABLE", "PUBLISHED"]

# Tables that come with packages of the Python index: `ogive.tables.packages` makes them.
GETTABLE = ("nasbench201", "nasbench_graph")

# The names that tables are imported under, and what FILE in the command is.
PUBLISHED = {
    "nasbench201": (
        "FILE is nb201.parquet, an extract with one row for each of the 15,625 cells, or the folder "
        "NATS-tss-v1_0-3ffb9-simple or the file NAS-Bench-201-v1_1-096897.pth that "
        "https://github.com/D-X-Y/NATS-Bench and https://github.com/D-X-Y/NAS-Bench-201 publish"
    ),
    "nasbench201_hardware": (
        "FILE is HW-NAS-Bench-v1_0.pickle of https://github.com/RICE-EIC/HW-NAS-Bench, or the extract of it"
    ),
    "natssize": "FILE is the folder NATS-sss-v1_0-50262-simple that https://github.com/D-X-Y/NATS-Bench publishes",
    "nasbench101": (
        "FILE is nasbench_only108.tfrecord or nasbench_full.tfrecord of https://github.com/google-research/nasbench"
    ),
    "nasbench101_30k": ("FILE is nb101_val_30001.parquet, 30,001 cells of https://github.com/google-research/nasbench"),
    "nasbench101_ecnas": (
        "FILE is nb101_upto5v_ecnas_4epochs.parquet, an extract of https://github.com/PedramBakh/EC-NAS-Bench"
    ),
    "accel_nasbench": "FILE is accel_nasbench.parquet, an extract of https://github.com/afzalxo/Accel-NASBench",
    "ofa_mbv3_dynast": "FILE is ofa_mbv3_dynast.parquet, an extract of https://github.com/IntelLabs/DyNAS-T",
    "nasbench301": (
        "FILE is the unpacked folder of the training data (results_*.json in a folder for each optimiser) "
        "that https://github.com/automl/nasbench301 points to"
    ),
    "nasbench301_surrogate": (
        "FILE is a folder of NAS-Bench-301's models, https://figshare.com/articles/software/nasbench301_models_v1_0_zip/"
        "13061510, whose trees were written as surrogate_model.json (see docs/tables.md)"
    ),
    "nasbench_graph": "FILE is nasbench_graph.parquet, an extract of https://github.com/THUMNLab/NAS-Bench-Graph",
    **{
        f"nds_{file.lower()}": f"FILE is {file}.json of https://github.com/facebookresearch/nds"
        for file in ("DARTS", "ENAS", "Amoeba", "NASNet", "PNAS", "ResNet", "ResNeXt-A", "ResNeXt-B")
    },
}
