"""What the API says of machines is safe for whoever reads it."""

from __future__ import annotations

import json

from tests.api.conftest import Supplier
from tests.api.rows import Ended, end, execute

HOSTILE = "\x1b[31mH100\u202e\u200b"
SAFE = "H100\ufffd\ufffd"


async def test_texts_of_machines_are_made_safe_and_raw_results_stay(supplier: Supplier) -> None:
    """Names, evidence and events hold no control; `raw_results` are evidence and come as they were sent."""
    databases = supplier.api.databases
    instance = await supplier.onboard()
    result = {"measured_gpu_name": HOSTILE, "raw_results": '{"said": "\\u001b[31m"}'}
    story = (
        (1.0, "log", '{"text": "\\u001b[31mH100\\u202e\\u200b", "\\u009b1mkey": ["\\u0007"]}'),
    )
    run_id = end(databases, instance["id"], Ended(result=result, story=story))
    execute(databases, "UPDATE gpu_test_runs SET last_seq = 1 WHERE id = %s", run_id)
    run = (await supplier.client.get(f"/v1/runs/{run_id}")).json()
    assert run["result"]["measured_gpu_name"] == SAFE
    assert run["result"]["raw_results"] == {"said": "\x1b[31m"}
    stream = await supplier.client.get(f"/v1/runs/{run_id}/events")
    [event, _] = [
        json.loads(line[5:]) for line in stream.text.splitlines() if line.startswith("data:")
    ]
    assert event["body"] == {"text": SAFE, "key": ["\ufffd"]}
