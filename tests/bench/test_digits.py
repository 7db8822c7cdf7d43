"""The study of digits trains all models on the same folds, and its table has each of them."""

from bench.studies import digits


def test_the_table_has_a_row_for_each_model_with_accuracies_of_five_folds():
    found = digits.study(1, epochs=1)
    assert all(len(accuracies) == len(times) == 5 for accuracies, times in found.values())
    assert {*found} == {*digits.models(0)}
    assert all(0.05 < sum(accuracies) / 5 < 0.98 for accuracies, _ in found.values())
    lines = digits.table(found).splitlines()
    assert len(lines) == 2 + len(found)
    assert lines[2].startswith("| MLPClassifier, 10 x 16 | 0.")
