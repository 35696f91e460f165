"""The flow: a run is requested, claimed, executed, judged; scheduled, recovered and cleaned."""
