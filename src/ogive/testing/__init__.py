"""What any plug-in must satisfy: checks of spaces, strategies, evaluators and predictors, for their authors' tests.

::

    from ogive.testing import check_strategy


    def test_my_strategy_keeps_the_contract():
        check_strategy("my_package.search:TabuSearch", "ogive.spaces.nasbench201:nasbench201", subprocess=True)

A check returns nothing, or raises ProtocolError with the first promise that is broken. A part is given as an object or
as ``module:attribute``; with `subprocess` it must be the latter, and is also tried in processes whose hashes of strings
differ, where anything that depends on the order of a set shows.
"""

from ogive.testing.evaluators import check_evaluator
from ogive.testing.predictors import check_predictor
from ogive.testing.spaces import check_space
from ogive.testing.strategies import check_strategy

__all__ = ["check_evaluator", "check_predictor", "check_space", "check_strategy"]
