"""Tables of runs of ``certify`` and ``tune``, from the documents that they end with."""

from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Column, Measured, Table

_RADIUS = Column("radius", "L2 radius in pixels", digits=4)


def certified_tables(study: Study) -> list[Table]:
    """Return certified accuracy over the radius, and what else a run of ``certify`` found."""
    document = study.result
    if study.kind != "certify" or not document:
        return []
    curve = Table(
        "certified",
        "Certified accuracy",
        [_RADIUS, Column("certified_accuracy", "certified accuracy", measured=True)],
        [
            [point["radius"], Measured.of(point, "certified_accuracy")]
            for point in document["curve"]
        ],
        "The share of images that are right, provably so within this radius, with 95 % Clopper "
        "and Pearson intervals.",
    )
    names = {
        "plain_accuracy": "accuracy of the plain model",
        "accuracy": "accuracy of the certified average",
        "abstained": "abstentions",
    }
    shares = Table(
        "certified-shares",
        "On clean images",
        [Column("what", "", text=True), Column("share", "share of images", measured=True)],
        [[words, Measured.of(document, key)] for key, words in names.items()],
        f"{document['images']} images; {document['mean_samples']:,.0f} samples per image on "
        "average.",
    )
    return [curve, shares]


def tuning_tables(study: Study) -> list[Table]:
    """Return what each radius and K that ``tune`` tried costs on clean images."""
    document = study.result
    if study.kind != "tune" or not document:
        return []
    costs = [
        Column("accuracy", "accuracy", measured=True),
        Column("loss", "loss against the plain model", measured=True, signed=True),
        Column("evaluations", "evaluations per image", digits=1),
    ]
    keys = [cost.key for cost in costs[:2]]
    radii = Table(
        "radii",
        "Radii",
        [Column("radius", "r"), Column("radius_pixels", "in pixels"), *costs],
        [
            [
                *(point["radius"], point["radius_pixels"]),
                *(Measured.of(point, key) for key in keys),
                point["evaluations"],
            ]
            for point in document["curve"]
        ],
        "Chosen on clean images alone: a larger radius is no promise of more robustness.",
    )
    if document["directions"] is None:
        return [radii]
    counts = Table(
        "directions",
        "Numbers of directions",
        [
            Column("directions", "K"),
            Column("differing_share", "other labels than the largest K", measured=True),
            *costs,
        ],
        [
            [
                point["directions"],
                *(Measured.of(point, key) for key in ("differing_share", *keys)),
                point["evaluations"],
            ]
            for point in document["directions"]["points"]
        ],
    )
    return [radii, counts]
