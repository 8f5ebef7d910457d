"""The table of a run's jobs, from Snakemake's benchmark files."""

from pipeline import rule_table


def test_jobs_of_a_rule_are_added_up(tmp_path):
    header = "s\th:m:s\tmax_rss\n"
    (tmp_path / "score").mkdir()
    (tmp_path / "score" / "a.rank0.tsv").write_text(f"{header}2.0\t0:00:02\t100.0\n")
    (tmp_path / "score" / "a.rank1.tsv").write_text(f"{header}3.0\t0:00:03\t300.0\n")
    (tmp_path / "pack.tsv").write_text(f"{header}9.0\t0:00:09\tNA\n")
    table = rule_table(tmp_path)
    assert list(table.index) == ["pack", "score"]
    assert table.loc["score", ["jobs", "seconds", "longest", "peak_mb"]].tolist() == [2, 5, 3, 300]
