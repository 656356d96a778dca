"""The kernels' thread pool: every part once, errors, many callers at once, forked children, DataLoader workers."""

import multiprocessing
import threading
from functools import partial

import pytest
import torch
from igtv.scan import selective_scan, selective_scan_2d
from igtv.scan.thread_pool import run_parts


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)  # `one_thread` puts the number back


def test_every_part_runs_once(three_threads):
    seen = []
    run_parts(seen.append, 50)
    assert sorted(seen) == list(range(50))
    run_parts(seen.append, 0)
    assert len(seen) == 50


@pytest.mark.parametrize("failing_part", [0, 9])
def test_an_error_in_a_part_is_raised(three_threads, failing_part):
    def work(part):
        if part == failing_part:
            raise RuntimeError(f"part {part}")

    with pytest.raises(RuntimeError, match=f"part {failing_part}"):
        run_parts(work, 10)
    run_parts(lambda part: None, 10)


def test_one_thread_stays_in_the_caller():
    names = []
    run_parts(lambda part: names.append(threading.current_thread()), 5)
    assert set(names) == {threading.current_thread()}


def test_thread_counts_agree(make_problem, make_map_problem, gradients_of, relative_error):
    problem, map_problem = make_problem(2, 1, 50, 4, 70), make_map_problem(1, 9, 8, 70, 4, 3)

    def results():
        values = []
        for function, tensors in (
            (partial(selective_scan, delta_softplus=True), problem),
            (selective_scan_2d, map_problem),
        ):
            y, gradients = gradients_of(lambda *t, f=function: f(*t, backend="numba"), tensors, tensors[0])
            values += [y, *gradients]
        return values

    single = results()
    for threads in (2, 3, 5):
        torch.set_num_threads(threads)
        for value, truth in zip(results(), single, strict=True):
            assert relative_error(value, truth) <= 2e-6


def test_many_python_threads_at_once_get_identical_results(three_threads, make_map_problem, gradients_of):
    problem = make_map_problem(2, 8, 8, 40, 4, 3)

    def run():
        return gradients_of(lambda *t: selective_scan_2d(*t, backend="numba"), problem, problem[0])

    y, gradients = run()
    results = [None] * 6

    def call(index):
        for _ in range(3):
            results[index] = run()

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(results))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    for other_y, other_gradients in results:
        assert torch.equal(other_y, y)
        assert all(torch.equal(a, b) for a, b in zip(other_gradients, gradients, strict=True))


def _scan_in_child(problem, queue):
    torch.set_num_threads(2)  # no operation of PyTorch with threads of its own may follow: OpenMP hangs after fork
    queue.put(selective_scan(*problem, delta_softplus=True, backend="numba")[0, :, -1].tolist())


def test_a_forked_child_does_not_wait_for_the_parents_threads(three_threads, make_problem):
    problem = make_problem(2, 2, 40, 4, 70)
    expected = selective_scan(*problem, delta_softplus=True, backend="numba")[0, :, -1].tolist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_scan_in_child, args=(problem, queue))
    child.start()
    try:
        assert queue.get(timeout=60) == pytest.approx(expected, rel=1e-4)
        child.join(timeout=20)
        assert child.exitcode == 0
    finally:
        child.kill()


class _Scans(torch.utils.data.Dataset):
    def __init__(self, problem):
        self.problem = problem

    def __len__(self):
        return 4

    def __getitem__(self, index):
        x, *weights = self.problem
        return selective_scan_2d(x[index : index + 1], *weights, backend="numba")[0]


def test_in_dataloader_workers(three_threads, make_map_problem):
    problem = make_map_problem(4, 8, 8, 40, 4, 3)
    expected = selective_scan_2d(*problem, backend="numba")
    loader = torch.utils.data.DataLoader(_Scans(problem), batch_size=2, num_workers=2, timeout=60)
    torch.testing.assert_close(torch.cat(list(loader)), expected, rtol=1e-6, atol=1e-6)
