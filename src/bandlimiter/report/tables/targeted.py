"""How often targeted attacks reached their targets, attack by attack and for each model."""

from bandlimiter.report.tables.attacks import attack_name, documents
from bandlimiter.report.tables.study import Study
from bandlimiter.report.tables.table import Column, Measured, Table

_NOTE = (
    "Images: those that the attacked model has right and whose label is not the target. A success "
    "is an image within the budget whose answer is the target; an attack that ends in another "
    "wrong class has failed, and its image counts in all accuracies as it was before: they say "
    "nothing of untargeted attacks. Other wrong class: successes on the plain model on which the "
    "defence is wrong, and not at the target. 95 % intervals."
)


def target_table(study: Study) -> Table:
    """Return each attack's rate of success on the plain and on the defended model."""
    return Table(
        "targets",
        "Targeted attacks: how often the target is reached",
        [
            Column("defence", "defence", text=True),
            Column("attack", "attack", text=True),
            Column("protocol", "protocol", text=True),
            Column("threat", "threat", text=True),
            Column("attacked", "images"),
            Column("plain_at_target", "plain at target", measured=True),
            Column("defended_at_target", "defended at target", measured=True),
            Column("elsewhere", "other wrong class"),
        ],
        [
            [
                study.shown(name),
                attack_name(result["attack"], result["quick"]),
                result["protocol"],
                result["threat"],
                result["targeted"]["attacked"],
                Measured.of(result["targeted"], "plain_at_target"),
                Measured.of(result["targeted"], "defended_at_target"),
                result["targeted"]["elsewhere"],
            ]
            for name, document in documents(study, plain=True).items()
            for result in document["results"]
            if result["targeted"]
        ],
        _NOTE,
    )
