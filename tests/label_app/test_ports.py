"""Ports for servers of trials and tests: free, below those of the system, each given out once."""

import importlib
import socket

import pytest


@pytest.fixture
def ports(tools_dir):
    return importlib.import_module("ports")


def test_processes_side_by_side_share_the_ports_below_those_of_the_system(ports):
    """Linux gives out 32768 and above; where it begins lower, there are still some for everybody."""
    assert ports.own_ports(32768, 0, 1) == range(20000, 32768)
    assert [ports.own_ports(32768, worker, 3) for worker in range(3)] == [
        range(20000, 24256),
        range(24256, 28512),
        range(28512, 32768),
    ]
    assert [ports.own_ports(1024, worker, 2) for worker in range(2)] == [range(20000, 21000), range(21000, 22000)]


def test_a_port_in_use_is_passed_over_and_none_is_given_twice(ports, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        free = ports.free_port(), ports.free_port()
        assert free[0] != free[1]
        monkeypatch.setattr(ports, "_ports", iter([taken, free[0], taken, free[1]]))
        assert [ports.free_port(), ports.free_port()] == list(free)
        with pytest.raises(RuntimeError, match="no port is free"):
            ports.free_port()


def test_a_process_of_xdist_keeps_to_its_own_ports(ports, monkeypatch, tmp_path):
    """From anywhere on, and each of them once."""
    monkeypatch.setattr(ports, "SYSTEM_RANGE", tmp_path / "range")
    ports.SYSTEM_RANGE.write_text("30000\t60999\n")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    assert sorted(ports._in_turn()) == list(range(25000, 30000))
