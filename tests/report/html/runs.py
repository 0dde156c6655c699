"""Runs as the store keeps them, with real pictures and rows that hold every outcome."""

import random

import torch

from bandlimiter.defence import PostAverage
from bandlimiter.results import NONE, OURS
from bandlimiter.results.runs import RunStore, Shard, ShardResult
from tests.results.test_compare_defences import cascade_row
from tests.results.test_results import row

CLASSES = ["airplane", "automobile", "bird", "cat", "deer"]
CLASSES += ["dog", "frog", "horse", "ship", "truck"]
HOSTILE = "<img src=x onerror=alert(1)>"
BREAKOUT = "</script><script>document.title='taken'</script>"

SETTINGS = {
    "model": "sample",
    "data": "sample",
    "paper_data": "cifar10",
    "paper_radius": 6.0,
    "radius": 6.0,
    "radius_pixels": 1.356,
    "evaluations": 91,
    "directions": 15,
    "sampler": "directions",
    "vote": "softmax",
    "scale": None,
    "epsilon": 8 / 255,
    "seed": 0,
    "versions": {"bandlimiter": "0.1.0", "torch": "2.14.1"},
    "attacks": ["fgsm/minimal", "pgd/minimal", "pgd/fixed"],
    "class_names": CLASSES,
}


def swept(*radii):
    """Settings of a run whose other defences have these radii, called ``r=RADIUS``."""
    shared = {key: SETTINGS[key] for key in ("directions", "sampler", "vote")}
    return {
        **SETTINGS,
        "variants": {f"r={radius}": {**shared, "radius": radius} for radius in radii},
    }


def rows_of(images, defences=(OURS, "gaussian"), attacks=("fgsm", "pgd"), adaptive=True, seed=0):
    """Rows of classes 0 to 9 under minimal and fixed attacks, and attacks on the defences."""
    draw, rows = random.Random(seed), []
    for attack in attacks:
        for image in range(images):
            label, length = image % 10, draw.uniform(0.1, 12) / 255
            for place, defence in enumerate(defences):
                for protocol, chance in (("minimal", 0.55 + 0.04 * place), ("fixed", 0.1)):
                    kept = draw.random() < chance
                    found = length if protocol == "minimal" else 8 / 255
                    one = row(
                        image,
                        found=found,
                        after=label if kept else (label + 2) % 10,
                        attack=attack,
                        protocol=protocol,
                    )
                    shift = {"label": label, "plain_clean": label, "defended_clean": label}
                    fooled = {"plain_adversarial": (label + 1) % 10, "defence": defence}
                    rows.append(one.model_copy(update={**shift, **fooled}))
    for defence in (*defences, NONE) if adaptive else ():
        for image in range(images):
            broken = draw.random() < 0.9
            same = {"label": image % 10, "defended_clean": image % 10, "plain_clean": image % 10}
            stage = draw.choice(["transfer", "apgd", "square"]) if broken else None
            length = draw.uniform(0.1, 3 if defence == NONE else 4) / 255
            rows.append(cascade_row(image, stage=stage, defence=defence, **same))
            rows.append(cascade_row(image, name="smallest", length=length, defence=defence, **same))
    return rows


def failed_row(image, error):
    one = cascade_row(image)
    lost = {"label": 3, "plain_clean": -1, "defended_clean": -1, "error": error, "found": False}
    return one.model_copy(update=lost)


def exhibits_of(model, photos, count=2):
    """Harvested facts and arrays: FGSM steps on real images, both models' scores, and votes."""
    defence = PostAverage(model, 6.0, directions=5).eval()
    facts, arrays = [], {}
    for number in range(count):
        clean = photos.images(number, number + 1)
        label = int(photos.labels[number])
        x = clean.clone().requires_grad_()
        torch.nn.functional.cross_entropy(model(x), torch.tensor([label])).backward()
        pair = torch.cat([clean, (clean + 4 / 255 * x.grad.sign()).clamp(0, 1)])
        with torch.no_grad():
            shown = {
                "plain": model(pair).softmax(1),
                "defended": defence.predict(pair).probabilities,
                "votes": torch.stack(
                    [
                        torch.bincount(model(defence.neighbours(one)).argmax(1), minlength=10)
                        for one in pair
                    ]
                ),
            }
        facts.append(
            {"image": number, "label": label, "attack": "fgsm", "protocol": "fixed"}
            | {"threat": "transfer", "defence": OURS, "status": "broken"}
        )
        shown |= {"clean": pair[0], "adversarial": pair[1]}
        for key, value in shown.items():
            arrays[f"exhibit.{number}.{key}"] = value.numpy()
    return {"exhibits": facts}, arrays


def store_run(folder, rows, *, settings=None, kind="evaluation", examples=None, missing=0, **more):
    """Keep rows as a run of three shards and more that are missing; return its folder."""
    chosen = SETTINGS if settings is None else settings
    shards = [Shard(f"{i:04d}-a", "a", (i,)) for i in range(3 + missing)]
    facts, arrays = examples or ({}, {})
    timing = {"attack": "pgd", "protocol": "minimal", "images": 10, "seconds": 1.5}
    with RunStore(folder, {"kind": kind, "seed": 0}, shards, settings=chosen) as store:
        for i, shard in enumerate(shards[:3]):
            own = rows[i::3]
            first = i == 0
            store.put(
                shard,
                ShardResult(own, arrays if first else {}, facts if first else {}, [timing]),
            )
        for name, document in more.items():
            store.write_document(f"{name}.json", document)
    return folder
