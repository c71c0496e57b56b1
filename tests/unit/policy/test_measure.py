import numpy as np
import pytest

from tradewind.bundle import BundleDraft
from tradewind.policy import TorchScriptNetwork, measure_latency


def test_measurement_says_where_and_how_often(discrete_draft: BundleDraft) -> None:
    network = TorchScriptNetwork(discrete_draft.policy_pt)
    record = measure_latency(network, discrete_draft.golden.observations, trials=50)
    assert record.trials == 50
    assert 0.0 < record.p50_us <= record.p99_us <= record.p999_us
    assert "torchscript" in record.where


@pytest.mark.parametrize(("rows", "trials"), [(0, 10), (1, 0)])
def test_measurement_of_nothing_is_refused(
    discrete_draft: BundleDraft, rows: int, trials: int
) -> None:
    network = TorchScriptNetwork(discrete_draft.policy_pt)
    with pytest.raises(ValueError, match="at least one"):
        measure_latency(network, np.zeros((rows, 3, 2), np.float32), trials=trials)
