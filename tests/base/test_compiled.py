from rdsearch.base.compiled import compiled


def double(x):
    return 2 * x


def test_a_compiled_function_gives_what_the_function_gives():
    assert compiled(double)(21) == 42


def test_a_function_whose_code_has_no_place_for_a_cache_is_compiled_all_the_same():
    namespace = {}
    exec("def triple(x):\n    return 3 * x", namespace)  # noqa: S102 - numba finds no file to cache it beside
    assert compiled(namespace["triple"])(14) == 42
