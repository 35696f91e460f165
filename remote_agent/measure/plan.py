"""What a profile measures beside the requested training, and how long each part may take."""

from typing import NamedTuple

from remote_agent.spec import Options


class Plan(NamedTuple):
    """
    Seconds of measuring a part; 0 leaves it out. Warming up, building and compiling come on top.

    `precisions` and `kernels` are for each, `together` and `alone` for each stretch of several GPUs,
    `sweep` for all trials of training and as much for those of inference.
    """

    training: float
    inference: float
    kernels: float
    together: float
    alone: float = 0.0
    precisions: float = 0.0
    sweep: float = 0.0
    compiled: bool = False
    collectives: float = 0.0
    disk: float = 0.0
    soak: float = 0.0

    def within(self, seconds: float) -> "Plan":
        """The same with no part longer than `seconds`."""
        shortened = {
            name: min(value, seconds)
            for name, value in self._asdict().items()
            if not isinstance(value, bool)
        }
        return self._replace(**shortened)


PLANS = {
    "quick": Plan(training=15, inference=5, kernels=0.5, together=5),
    "standard": Plan(
        training=15, inference=5, kernels=1, together=8, alone=5, precisions=4, sweep=40, disk=5
    ),
    "full": Plan(
        training=30,
        inference=10,
        kernels=2,
        together=15,
        alone=10,
        precisions=8,
        sweep=120,
        compiled=True,
        collectives=10,
        disk=10,
    ),
    "soak": Plan(training=30, inference=5, kernels=1, together=30, soak=600),
}


def plan_for(options: Options) -> Plan:
    """The profile's plan, each part within the requested budget."""
    plan = PLANS[options.profile]
    return plan if options.budget_seconds is None else plan.within(options.budget_seconds)
