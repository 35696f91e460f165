"""
Faults on purpose: a world of real parts, the faults that hit it, and the checker that looks for what they broke.

`bench.chaos` is the command. `record` holds what was seen, `checker` judges it (pure), `world` is the parts:
`postgres`, `machine` behind a `line`, and the `crew` of worker and API processes under `load`. One module for
each kind of fault: `kills`, `arms` (failpoints), `cuts`, `outages`, `impostors`, `crowds`, `cancels`, `loss`.
"""
