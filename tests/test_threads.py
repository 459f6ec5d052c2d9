"""Several threads and one network: right, or refused."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from tempfile import TemporaryDirectory
from threading import Barrier, Event, Thread
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from untouched import picture, same

from resnetlib import Backbone, build, classify, evaluate, freeze, frozen_batchnorm, save_model, unfreeze
from resnetlib.analysis import (
    block_survival,
    branch_ratio,
    deepen,
    filter_normalized_direction,
    landscape,
    measure_cost,
    recalibrated,
)
from resnetlib.inference import evaluating
from resnetlib.weights import Preprocessing, PretrainedConfig, write_weights

FOUR = ("plain", "resnet", "preact", "densenet")
IMAGES = [torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(i)) for i in range(4)]
INPUTS = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3])


def network(family: str, **options: Any) -> Backbone:
    torch.manual_seed(0)
    net = build(FAMILIES[family], num_classes=5, **options)
    net.preprocess = Preprocessing.named("cifar10", resize=8, size=8)
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(8, 3, 8, 8))  # running statistics that are not those of a batch
    list(net.modules())[3].eval()  # modes that differ
    return net


def in_threads(work: Callable[[int], object], count: int = 8) -> list[Any]:
    """Let threads begin at once, and return what each returned or raised."""
    barrier, results = Barrier(count), [None] * count

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = work(i)  # type: ignore[call-overload]
        except BaseException as error:  # noqa: BLE001 - it is looked at
            results[i] = error  # type: ignore[call-overload]

    threads = [Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    return results


def elsewhere(work: Callable[[], object]) -> Any:
    return in_threads(lambda _: work(), 1)[0]


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(cores)


@pytest.mark.parametrize("family", FOUR)
def test_many_threads_classify_and_evaluate_as_one_does(family: str) -> None:
    net = network(family, drop_path_rate=0.5 if family != "plain" else 0.0, drop_rate=0.5)
    expected, counted = classify(net, IMAGES), evaluate(net, [INPUTS])
    before = picture(net)

    def work(i: int) -> bool:
        right = True
        for _ in range(10):
            if i % 2:
                right &= classify(net, IMAGES) == expected
            else:
                right &= evaluate(net, [INPUTS]) == counted
        return right

    assert in_threads(work) == [True] * 8
    assert same(picture(net), before)


def test_a_module_of_two_networks_is_given_back_in_its_own_mode() -> None:
    net = network("resnet")
    wrapped, before = nn.DataParallel(net), [module.training for module in net.modules()]

    def work(i: int) -> None:
        for _ in range(50):
            with evaluating(wrapped if i % 2 else net.layer1):  # type: ignore[arg-type]
                assert not any(module.training for module in net.layer1.modules())  # type: ignore[union-attr]

    assert in_threads(work) == [None] * 8
    assert [module.training for module in net.modules()] == before


def test_modes_come_back_after_an_interruption_in_one_of_two_threads() -> None:
    net = network("resnet")
    before = [module.training for module in net.modules()]
    inside, leave = Event(), Event()

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        inside.set()
        leave.wait(60)
        yield INPUTS
        raise KeyboardInterrupt

    def work() -> None:
        with pytest.raises(KeyboardInterrupt):
            evaluate(net, batches())

    with evaluating(net):
        thread = Thread(target=work)
        thread.start()
        assert inside.wait(60)
    assert not net.training  # the other one still needs that
    leave.set()
    thread.join()
    assert [module.training for module in net.modules()] == before


def test_who_trains_a_network_while_it_is_evaluated_is_found_out() -> None:
    net = network("resnet")

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield INPUTS
        elsewhere(net.train)
        yield INPUTS

    with pytest.raises(RuntimeError, match=r"training mode .*copy.deepcopy"):
        evaluate(net, batches())
    assert evaluate(net, [INPUTS]).images == 4


REFUSED = r"another thread .*copy.deepcopy"

OTHERS: dict[str, Callable[[Any], object]] = {
    "classify": lambda net: classify(net, IMAGES),
    "evaluate": lambda net: evaluate(net, [INPUTS]),
    "branch_ratio": lambda net: branch_ratio(net, INPUTS),
    "block_survival": lambda net: block_survival(net, INPUTS, [0.5]),
    "landscape": lambda net: landscape(net, INPUTS, points=2, dimensions=1),
    "measure_cost": lambda net: measure_cost(net, 8),
    "filter_normalized_direction": filter_normalized_direction,
    "deepen": lambda net: deepen(net, (3, 2)),
    "freeze": freeze,
    "frozen_batchnorm": frozen_batchnorm,
    "unfreeze": unfreeze,
    "recalibrated": lambda net: recalibrated(net, INPUTS).__enter__(),
    "save_model": lambda net: save_in_a_folder(net),
    "write_weights": lambda net: write_in_a_folder(net),
}
LOOKING = {"classify", "evaluate", "measure_cost", "filter_normalized_direction", "save_model", "write_weights"}
"""What does not change the network."""


def save_in_a_folder(net: Backbone) -> None:
    with TemporaryDirectory() as folder:
        save_model(net, folder)


def write_in_a_folder(net: Backbone) -> None:
    with TemporaryDirectory() as folder:
        write_weights(net, f"{folder}/w.safetensors", PretrainedConfig(name="", tag="", spec=net.spec))


@pytest.mark.parametrize("other", OTHERS)
def test_an_analysis_has_the_network_for_itself(other: str) -> None:
    net = network("resnet")
    refused: list[object] = []
    alone = branch_ratio(net, INPUTS)

    def meanwhile(*_: object) -> None:
        if not refused:
            refused.append(elsewhere(lambda: OTHERS[other](net)))

    handle = net.layer1[1].register_forward_hook(meanwhile)  # type: ignore[union-attr, operator, index]
    before = picture(net)
    found = branch_ratio(net, INPUTS)
    handle.remove()
    with pytest.raises(RuntimeError, match=REFUSED):
        raise refused[0]  # type: ignore[misc]
    assert torch.equal(found.ratio, alone.ratio)
    after = picture(net)
    assert same({key: value for key, value in after.items() if "hooks" not in key}, {
        key: value for key, value in before.items() if "hooks" not in key
    })  # fmt: skip
    OTHERS[other](net)


@pytest.mark.parametrize("other", OTHERS)
def test_nobody_else_sees_recalibrated_statistics(other: str) -> None:
    net = network("resnet")
    with recalibrated(net, INPUTS), pytest.raises(RuntimeError, match=REFUSED):
        raise elsewhere(lambda: OTHERS[other](net))


@pytest.mark.parametrize("other", sorted(OTHERS.keys() - LOOKING))
def test_what_changes_a_network_is_refused_while_another_thread_evaluates_it(other: str) -> None:
    net = network("resnet")
    before = picture(net)
    with evaluating(net), pytest.raises(RuntimeError, match=REFUSED):
        raise elsewhere(lambda: OTHERS[other](net))
    assert same(picture(net), before)


def test_one_thread_may_do_all_of_it_inside_of_each_other() -> None:
    net = network("resnet")
    before, expected = picture(net), evaluate(net, [INPUTS])

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        branch_ratio(net, INPUTS)
        with recalibrated(net, INPUTS):
            evaluate(net, [INPUTS])
            branch_ratio(net, INPUTS)
        yield INPUTS

    assert evaluate(net, batches()) == expected
    with freeze(net):
        evaluate(net, [INPUTS])
    assert same(picture(net), before)


@pytest.mark.parametrize("family", FOUR)
def test_threads_that_freeze_and_let_go(family: str) -> None:
    net = network(family)
    net.train()
    before = picture(net)

    def work(i: int) -> None:
        for _ in range(30):
            with freeze(net) if i % 2 else frozen_batchnorm(net):
                assert not any(module.training for module in net.modules() if isinstance(module, nn.BatchNorm2d))

    assert in_threads(work) == [None] * 8
    assert same(picture(net), before)


def test_analyses_of_two_networks_at_once_leave_the_process_as_it_was() -> None:
    nets = [network("resnet"), network("preact")]
    expected = [branch_ratio(net, INPUTS).ratio for net in nets]
    stances, random = torch._dynamo.eval_frame._stance, torch.get_rng_state()

    def work(i: int) -> bool:
        return all(torch.equal(branch_ratio(nets[i], INPUTS).ratio, expected[i]) for _ in range(20))

    assert in_threads(work, 2) == [True, True]
    assert torch._dynamo.eval_frame._stance == stances
    assert torch.equal(torch.get_rng_state(), random)


def test_a_network_that_was_used_can_be_copied_and_is_not_kept() -> None:
    import gc
    import weakref

    net = network("resnet")
    evaluate(net, [INPUTS])
    branch_ratio(net, INPUTS)
    copy = deepcopy(net)
    assert same(dict(copy.state_dict()), dict(net.state_dict()))
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
