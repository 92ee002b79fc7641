"""What a student is compared with beside the masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.training.distill import (
    InfosamDistiller,
    LogitDistiller,
    PktDistiller,
    VidDistiller,
    Views,
    build_distiller,
)
from napari_infosam.training.relation import (
    RELATION_FILE,
    DotRelation,
    RelationModule,
    information_losses,
)


def views(rows: int, seed: int, *, leaf: bool = False) -> Views:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((rows, 256, 8, 8), (rows, 1, 256), (rows, 1, 16, 16))
    made = [torch.randn(shape, generator=generator) for shape in shapes]
    return Views(*(part.requires_grad_(leaf) for part in made))


def test_none_is_asked_for():
    assert build_distiller(FinetuneOptions(distill="none")) is None


@pytest.mark.parametrize("name", ["vid", "pkt", "logit"])
def test_the_weight_counts(name):
    torch.manual_seed(0)
    once = build_distiller(FinetuneOptions(distill=name))
    torch.manual_seed(0)
    thrice = build_distiller(FinetuneOptions(distill=name, distill_weight=3))
    teacher, student = views(4, 0), views(4, 1)
    loss = once(teacher, student)
    assert loss.total.item() > 0
    assert loss.parts == {"distill": pytest.approx(loss.total.item())}
    assert thrice(teacher, student).total.item() == pytest.approx(3 * loss.total.item())


def test_pkt_is_zero_for_a_student_that_equals_its_teacher():
    same = views(4, 0)
    assert PktDistiller()(same, same).total.item() == pytest.approx(0, abs=1e-6)
    assert PktDistiller()(same, views(4, 1)).total.item() > 1e-5


def test_pkt_does_not_mind_another_scale():
    teacher = views(4, 0)
    larger = Views(teacher.features * 5, teacher.token * 2, teacher.logits)
    assert PktDistiller()(teacher, larger).total.item() == pytest.approx(0, abs=1e-6)


def test_logits_are_best_where_they_equal_the_teachers():
    teacher = views(2, 0)
    best = LogitDistiller()(teacher, teacher).total.item()
    p = teacher.logits.sigmoid().double().numpy()
    assert best == pytest.approx(
        float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())
    )
    assert LogitDistiller()(teacher, views(2, 1)).total.item() > best


def test_vid_is_the_likelihood_of_a_normal_distribution():
    vid = VidDistiller()
    teacher, student = views(2, 0), views(2, 1)
    with torch.no_grad():
        mean = vid.project(student.features)
        deviation = (torch.nn.functional.softplus(vid.log_scale) + 1e-5).sqrt()
        normal = torch.distributions.Normal(mean, deviation.expand_as(mean))
        wanted = -normal.log_prob(teacher.features).mean() - 0.5 * np.log(2 * np.pi)
    loss = vid(teacher, student).total
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)
    loss.backward()
    assert all(p.grad.abs().max() > 0 for p in vid.parameters())


@pytest.mark.parametrize("name", ["infosam", "vid", "pkt", "logit"])
def test_the_gradient_goes_to_the_student_only(name):
    torch.manual_seed(0)
    distiller = build_distiller(FinetuneOptions(distill=name))
    teacher, student = views(4, 0, leaf=True), views(4, 1, leaf=True)
    distiller(teacher, student).total.backward()
    for part in (teacher.features, teacher.token, teacher.logits):
        assert part.grad is None
    parts = (student.features, student.token, student.logits)
    reached = [part.grad is not None and part.grad.any().item() for part in parts]
    assert (
        reached
        == {
            "infosam": [True, True, False],
            "vid": [True, False, False],
            "pkt": [True, True, False],
            "logit": [False, False, True],
        }[name]
    )


# ------------------------------------------------------------------ InfoSAM


def flat(made: Views) -> torch.Tensor:
    return made.features.flatten(2).transpose(1, 2)


def halved(made: Views, row: int) -> Views:
    return Views(*(part.float() for part in made.half_row(row)))


def test_a_bank_adds_the_latest_rows_of_other_images():
    torch.manual_seed(0)
    relation = RelationModule()
    distiller = InfosamDistiller(relation=relation, bank=3)
    images = ["ab", "cd", "be"]
    batches = [(views(2, n), views(2, 10 + n)) for n in range(3)]
    for number, (teacher, student) in enumerate(batches):
        loss = distiller(teacher, student, images[number])
        # of the rows before, those of three images, but none of an image of now
        known = [[], [(0, 0), (0, 1)], [(1, 0), (1, 1)]][number]
        teachers = [teacher, *(halved(batches[n][0], row) for n, row in known)]
        students = [student, *(halved(batches[n][1], row) for n, row in known)]
        expected = information_losses(
            relation,
            torch.cat([flat(part) for part in teachers]),
            torch.cat([part.token for part in teachers]),
            torch.cat([flat(part) for part in students]),
            torch.cat([part.token for part in students]),
        )
        assert loss.total.item() == pytest.approx(expected.weighted().item(), rel=1e-4)


def test_an_image_is_compared_with_those_of_the_bank():
    distiller = InfosamDistiller(bank=2)
    assert not distiller.has_rows(["a"])
    distiller(views(2, 0), views(2, 1), ["a", "b"])
    assert distiller.has_rows(["a"])
    one = distiller(views(1, 2), views(1, 3), ["a"])
    assert one.total.item() != 0
    assert not InfosamDistiller().has_rows(["a"])


def test_the_bank_keeps_no_graph():
    distiller = InfosamDistiller(bank=2)
    student = views(2, 1, leaf=True)
    distiller(views(2, 0), student, "ab").total.backward()
    first = student.features.grad.clone()
    distiller(views(2, 2), views(2, 3, leaf=True), "cd").total.backward()
    assert torch.equal(student.features.grad, first)


def test_the_bank_is_in_the_checkpoint(tmp_path):
    distiller = InfosamDistiller(bank=2)
    distiller(views(2, 0), views(2, 1), ["a", "b"])
    torch.save(distiller.state_dict(), tmp_path / "state.pt")
    other = InfosamDistiller(bank=2)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    batch = views(2, 2), views(2, 3), ["c", "d"]
    assert other(*batch).total.item() == distiller(*batch).total.item()


def test_the_fixed_relation_has_nothing_to_learn():
    distiller = build_distiller(FinetuneOptions(relation="dot"))
    assert isinstance(distiller.relation, DotRelation)
    assert list(distiller.parameters()) == []
    made = views(3, 0)
    maps = distiller.relation(flat(made), made.token)
    assert maps.shape == (3, 64)
    wanted = torch.einsum("bchw,bc->bhw", made.features, made.token[:, 0]).flatten(1)
    wanted = wanted / wanted.norm(dim=1, keepdim=True)
    torch.testing.assert_close(maps, wanted)


def test_a_relation_module_moves_to_another_project(tmp_path):
    torch.manual_seed(0)
    source = InfosamDistiller()
    version = tmp_path / "cells.infosam" / "models" / "v002"
    version.mkdir(parents=True)
    source.save_relation(version)
    (version.parent / "v003").mkdir()  # decoder only: it has none
    for origin in (version / RELATION_FILE, tmp_path / "cells.infosam"):
        options = FinetuneOptions(relation_from=str(origin), freeze_relation=True)
        taken = build_distiller(options).relation
        for key, value in taken.state_dict().items():
            assert torch.equal(value, source.relation.state_dict()[key])
        assert not any(p.requires_grad for p in taken.parameters())
    assert all(
        p.requires_grad
        for p in build_distiller(
            FinetuneOptions(relation_from=str(version / RELATION_FILE))
        ).parameters()
    )


def test_a_frozen_relation_still_passes_gradient_to_the_student():
    distiller = InfosamDistiller()
    distiller.relation.requires_grad_(False)
    student = views(4, 1, leaf=True)
    distiller(views(4, 0), student).total.backward()
    assert student.features.grad.any()
    assert student.token.grad.any()


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 100])
def test_no_relation_module_in_the_file(tmp_path, content):
    path = tmp_path / "relation.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InfosamError, match="holds no relation module: name a project"):
        RelationModule().load(path)
    with pytest.raises(InfosamError, match="holds no relation module"):
        RelationModule().load(tmp_path)


def test_the_fixed_relation_is_not_saved(tmp_path):
    InfosamDistiller(relation=DotRelation()).save_relation(tmp_path)
    assert list(tmp_path.iterdir()) == []
