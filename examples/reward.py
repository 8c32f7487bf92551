"""What one answer earns in training, part by part, and what a group of answers teaches: python examples/reward.py

The reward is the benchmark's own judgement: a gate (one JSON object and nothing else), 20 % for structure, 80 % for
content. See docs/rewards.md.
"""

import json

from peakbench.rewards import Reward

reward = Reward("garment")
reference = {
    "type": "t-shirt",
    "color": "navy blue",
    "pattern": "striped",
    "neckline": "crew neck",
    "sleeve_length": "short sleeve",
    "closure": "pullover",
    "brand": "Nordvik",
    "size": None,
    "defect_type": None,
}
answer = reference | {"type": "tee", "color": "black", "brand": "Nordvic", "size": "M", "fabric": "cotton"}

parts = reward(json.dumps(answer), reference)
print(f"total {parts.total:.3f} = 0.2 x structure {parts.structure:.3f} + 0.8 x content {parts.content:.3f}")
for name, score in parts.fields.items():
    weight = reward.task.fields[name].weight
    print(f"  {name:<14} {score:.2f} x {weight}  {reference[name]!r} was read as {answer[name]!r}")
print("  no value on either side:", ", ".join(name for name in reference if name not in parts.fields))

# A group of answers to one prompt, as GRPO samples them: each learns from how far it lies from the group's mean.
group = {
    "right": json.dumps(reference),
    "one wrong": json.dumps(reference | {"color": "black"}),
    "all null": json.dumps(dict.fromkeys(reference)),
    "in a fence": f"```json\n{json.dumps(reference)}\n```",
    "cut off": json.dumps(reference)[:90],
}
earned = reward.batch(list(group.values()), [reference] * len(group))
mean = sum(one.total for one in earned) / len(earned)
print(f"\n{'answer':<12} total  advantage  problem")
for name, one in zip(group, earned, strict=True):
    print(f"{name:<12} {one.total:.3f}  {one.total - mean:+9.3f}  {one.problem or ''}")
