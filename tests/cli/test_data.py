import json
from pathlib import Path

from gateway.tasks.dataset import load_dataset
from tests.cli.conftest import Gateway
from tests.conftest import ROOT
from tests.tuning.samples import TRIAGE, items

TASK = ("-t", "issue-triage")


def write(path: Path, count: int, start: int = 0) -> Path:
    rows = [
        f"{i.id},{i.gold},{i.fields['title']},{i.fields['body']},kept" for i in items(count, start)
    ]
    path.write_text("\n".join(["id,label,title,body,more", *rows]) + "\n")
    return path


def test_clean_data_is_said_to_be_so(gateway: Gateway, tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.csv", 120), write(tmp_path / "b.csv", 20, 200)
    done = gateway("data", "check", *TASK, "--train", train, "--test", test)
    assert done.code == 0, done.out
    assert "train 120, test 20, exemplars 6: 0 errors, 0 warnings" in done.out
    assert "at least 0.9" in done.out


def test_an_error_is_exit_code_2_and_json_has_every_place(gateway: Gateway, tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.csv", 120), write(tmp_path / "b.csv", 20, 110)
    done = gateway("data", "check", *TASK, "--train", train, "--test", test)
    assert done.code == 2
    assert f"{train}:112 i110: identical: {test}:2 i110" in done.out
    assert "and 7 more" in done.out
    found = json.loads(
        gateway("data", "check", *TASK, "--train", train, "--test", test, "--json").out
    )
    (leak,) = [f for f in found["findings"] if f["code"] == "leak"]
    assert (found["errors"], leak["count"], len(leak["places"])) == (1, 10, 10)


def test_a_wrong_label_does_not_hide_the_rest(gateway: Gateway, tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", 30)
    train.write_text(train.read_text().replace("i4,feature", "i4,wish"))
    done = gateway("data", "check", *TASK, "--train", train)
    assert done.code == 2
    assert f"{train}:6: 'label' is 'wish'" in done.out
    assert "fewer than 100" in done.out
    assert "no test data" in done.out


def test_a_split_is_two_files_with_all_columns_and_the_same_bytes_again(
    gateway: Gateway, tmp_path: Path
) -> None:
    data, test = write(tmp_path / "a.csv", 60), write(tmp_path / "t.csv", 5)
    options = ("data", "split", *TASK, "--data", data, "--test", test)
    done = gateway(*options, "--out", tmp_path / "one")
    assert done.code == 0, done.err
    assert "left out, as a copy of a test item: 5 items" in done.err
    gateway(*options, "--out", tmp_path / "two")
    for name in ("train.csv", "validation.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    train = load_dataset(str(tmp_path / "one/train.csv"), TRIAGE).items
    held = load_dataset(str(tmp_path / "one/validation.csv"), TRIAGE).items
    assert (len(train), len(held)) == (47, 8)
    assert {i.id for i in (*train, *held)} == {i.id for i in items(60)[5:]}
    assert (tmp_path / "one/train.csv").read_text().splitlines()[1].endswith(",kept")


def test_an_odd_share_is_refused_unless_it_is_wanted(gateway: Gateway, tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", 60)
    options = ("data", "split", *TASK, "--data", data, "--out", tmp_path, "--held-out", "0.5")
    refused = gateway(*options)
    assert (refused.code, "outside 0.1 to 0.2" in refused.err) == (2, True)
    assert gateway(*options, "--any-share").code == 0


def test_data_goes_to_chats_and_back(gateway: Gateway, tmp_path: Path) -> None:
    data, chat, back = write(tmp_path / "a.csv", 12), tmp_path / "c.jsonl", tmp_path / "i.jsonl"
    exported = gateway("data", "export", *TASK, "--data", data, "--out", chat)
    assert (exported.code, "no field was shortened" in exported.err) == (0, True)
    valid = gateway("data", "validate", chat)
    assert (valid.code, valid.out.strip()) == (0, "examples 12: 0 errors, 0 warnings")
    assert gateway("data", "import", chat, *TASK, "--out", back).code == 0
    want = [(i.fields, i.gold) for i in items(12)]
    assert [(i.fields, i.gold) for i in load_dataset(str(back), TRIAGE).items] == want


def test_what_is_no_chat_file_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    chat = tmp_path / "c.jsonl"
    chat.write_text('{"messages": [{"role": "user", "content": "a"}]}\n')
    done = gateway("data", "validate", chat)
    assert done.code == 2
    assert f"{chat}:1: messages: the last one is to be the assistant's" in done.out
    back = gateway("data", "import", chat, *TASK, "--out", tmp_path / "i.jsonl")
    assert (back.code, f"{chat}:1: messages" in back.err) == (2, True)
    assert not (tmp_path / "i.jsonl").exists()


def test_the_samples_of_the_structured_tasks_are_read(gateway: Gateway, tmp_path: Path) -> None:
    for name in ("issue-record", "story-estimate"):
        sample = ROOT / "prompts" / name / "sample.jsonl"
        out = tmp_path / f"{name}.jsonl"
        done = gateway("data", "export", "-t", name, "--data", sample, "--out", out)
        assert (done.code, len(out.read_text().splitlines())) == (0, 3), done.err
