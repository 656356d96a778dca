from igtv.training.handler_group import HandlerGroup


class Handler:
    def __init__(self, name, order):
        self.name, self.order = name, order

    def attach(self, engine):
        self.order.append((self.name, engine))


def test_attaches_in_order_and_skips_disabled_ones():
    order = []
    HandlerGroup([Handler("a", order), None, Handler("b", order)]).attach("engine")
    assert order == [("a", "engine"), ("b", "engine")]
