from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from ogive.core.errors import MissingData, SpecError
from ogive.training.text import columns, encoded, load, vocabulary_of


def folder_of(place: Path, train: str, valid: str, test: str, pattern: str = "{}.txt") -> str:
    for part, content in (("train", train), ("valid", valid), ("test", test)):
        (place / pattern.format(part)).write_text(content, encoding="utf-8")
    return f"text:{place}"


def test_words_are_numbered_as_they_appear_and_every_line_ends(tmp_path: Path) -> None:
    text = load(folder_of(tmp_path, "a b\nb c\n", "c a\n", "b\n\n"))
    assert text.vocabulary == ("a", "b", "<eos>", "c")
    assert text.train.tolist() == [0, 1, 2, 1, 3, 2]
    assert text.val.tolist() == [3, 0, 2]
    assert text.test.tolist() == [1, 2, 2]
    assert text.unknown == {"valid": 0, "test": 0}


def test_a_word_that_the_training_text_lacks_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"valid\.txt, line 2: the word 'zebra' does not occur in the training text"):
        load(folder_of(tmp_path, "a b\n", "a\nb zebra\n", "a\n"))


def test_where_there_is_a_word_for_unknown_words_they_become_it_and_are_counted(tmp_path: Path) -> None:
    text = load(folder_of(tmp_path, "a <unk>\n", "a x y\n", "<unk> z\n"))
    unknown = text.vocabulary.index("<unk>")
    assert text.val.tolist() == [0, unknown, unknown, 2]
    assert text.unknown == {"valid": 2, "test": 1}


@pytest.mark.parametrize("pattern", ["ptb.{}.txt", "wiki.{}.tokens"])
def test_published_names_of_files_are_found(tmp_path: Path, pattern: str) -> None:
    assert len(load(folder_of(tmp_path, "a b\n", "a\n", "b\n", pattern)).vocabulary) == 3


def test_the_limit_keeps_the_first_lines_of_each_file(tmp_path: Path) -> None:
    name = folder_of(tmp_path, "a b\nc\n", "a\nc\n", "b\nnever read\n")
    text = load(name, limit=1)
    assert text.vocabulary == ("a", "b", "<eos>")
    assert text.val.tolist() == [0, 2]
    assert text.digest != load(folder_of(tmp_path, "a b\nc\n", "a\nc\n", "b\na\n")).digest


def test_a_text_is_the_same_in_a_worker_process(tmp_path: Path) -> None:
    text = load(folder_of(tmp_path, "a <unk>\n", "a x y\n", "<unk> z\n"))
    copy = pickle.loads(pickle.dumps(text))
    assert copy.digest == text.digest
    assert (copy.vocabulary, copy.unknown) == (text.vocabulary, text.unknown)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder_of(tmp_path, "a\n", "a\n", "a\n")
    (tmp_path / "valid.txt").unlink()
    with pytest.raises(MissingData, match=r"valid\.txt is missing: a folder of text holds train\.txt"):
        load(f"text:{tmp_path}")


def test_two_files_for_one_part_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "a\n", "a\n", "a\n", "one.{}.txt")
    name = folder_of(tmp_path, "a\n", "a\n", "a\n", "two.{}.txt")
    with pytest.raises(SpecError, match=r"several texts for train \(one\.train\.txt, two\.train\.txt\)"):
        load(name)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    name = folder_of(tmp_path, "a b\n", "a\n", "b\n")
    (tmp_path / "test.txt").write_bytes(b"a \xff\xfe\n")
    with pytest.raises(SpecError, match=r"test\.txt is no text in UTF-8"):
        load(name)
    (tmp_path / "test.txt").write_text("")
    with pytest.raises(SpecError, match=r"test\.txt has 0 word\(s\)"):
        load(name)
    (tmp_path / "train.txt").write_text("\n\n")
    with pytest.raises(SpecError, match=r"train\.txt holds no words"):
        load(name)
    with pytest.raises(SpecError, match="limit must be at least 1"):
        load(name, limit=0)
    for odd in ("text:", "text", "words:x"):
        with pytest.raises(SpecError, match="A text is written text:FOLDER"):
            load(odd)


def test_columns_are_pieces_of_the_text_side_by_side() -> None:
    text_TB = columns(torch.arange(11), 2)
    assert text_TB.tolist() == [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]]
    with pytest.raises(SpecError, match="11 words cannot be read as 6 texts side by side"):
        columns(torch.arange(11), 6)


def test_the_words_of_the_penn_treebank_are_as_many_as_are_known(shared_data: Path) -> None:
    """887,521, 70,390 and 78,669 words, and as many ends as the files have lines: 42,068, 3,370 and 3,761."""
    text = load(f"text:{shared_data / 'ptb'}")
    ends = text.vocabulary.index("<eos>")
    assert len(text.vocabulary) == 10_000
    for part, words, lines in (
        (text.train, 887_521, 42_068),
        (text.val, 70_390, 3_370),
        (text.test, 78_669, 3_761),
    ):
        assert int((part == ends).sum()) == lines
        assert len(part) == words + lines
    assert text.unknown == {"valid": 0, "test": 0}


def test_wikitext_2_without_its_training_text_can_be_read_but_not_trained_on(shared_data: Path) -> None:
    folder = shared_data / "wikitext2"
    vocabulary = vocabulary_of(folder / "valid.txt")
    numbers, unknown = encoded(folder / "test.txt", vocabulary)
    assert "<unk>" in vocabulary
    assert 0 < unknown < len(numbers)
    with pytest.raises(MissingData, match=r"wikitext2/train\.txt is missing"):
        load(f"text:{folder}")
