import pytest

from rag.text.graphemes import cluster_starts


@pytest.mark.parametrize(
    "clusters",
    [
        ["a", "b"],
        ["e\u0301", "x"],
        ["بّ", "ا"],
        ["नि", "क"],
        ["กำ", "ก"],
        ["👍🏽", "👍"],
        ["👩\u200d👩\u200d👧", "👦"],
        ["🇪🇬", "🇸🇦", "🇪"],
        ["a", "🇪🇬", "b", "🇸🇦"],
        ["\u1112\u1161\u11ab", "\u1112\u1161"],
        ["\r\n", "\n", "\r"],
        ["🏴\U000e0067\U000e007f", "x"],
        ["❤\ufe0f", "!"],
    ],
)
def test_clusters(clusters):
    text = "".join(clusters)
    starts = [*cluster_starts(text, 0, len(text)), len(text)]
    assert [text[a:b] for a, b in zip(starts, starts[1:], strict=False)] == clusters


def test_part_of_a_text():
    assert [*cluster_starts("xe\u0301y", 1, 3)] == [1]
    assert [*cluster_starts("e\u0301y", 1, 3)] == [1, 2], "a part begins where it is told to"
    assert [*cluster_starts("", 0, 0)] == []
