"""What goes wrong with a model that others trained: the command typed, and what its one line must say.

As in catalogue.py; `{w}` is the world of world_of_teachers.py.
"""

from __future__ import annotations

DISTIL = "distil {w}/%s --data {w}/scans --steps 1 --runs {w}/runs --cache {w}/cache"
SOUND = DISTIL % "sound"

TEACHERS: dict[str, tuple[str, list[str]]] = {
    # the wrong place
    "no such model": ("teacher {w}/nowhere", [r"there is no teacher at .*nowhere", r"correct the path"]),
    "a model that is nowhere, to learn from": (DISTIL % "nowhere", [r"no teacher at .*nowhere", r"path"]),
    "a folder of something else": (
        "teacher {w}/notes",
        [r"notes is no teacher", r"nnU-Net v2 folder.*MONAI bundle.*folder of answers"],
    ),
    "a folder of scans": (
        "teacher {w}/scans/imagesTr",
        [r"imagesTr holds .*_0000\.nii\.gz", r"how nnU-Net names scans", r"the folder of the answers"],
    ),
    "the raw data of a model": ("teacher {w}/scans", [r"scans is no teacher", r"nnU-Net v2 folder"]),
    "several models": (
        "teacher {w}/several",
        [r"several holds 2 models: .*__2d, .*__3d_fullres", r"--configuration NAME"],
    ),
    "a configuration that is none": (
        "teacher {w}/several --configuration 3d",
        [r"no configuration '3d'", r"there are .*__2d, .*__3d_fullres"],
    ),
    "nnU-Net v1": (
        "teacher {w}/version_1",
        [r"a model of nnU-Net v1", r"give the folder of its answers"],
    ),
    # half of it
    "no checkpoint": (
        "teacher {w}/no_checkpoint",
        [r"no checkpoint_final\.pth in any fold", r"copy its fold"],
    ),
    "another checkpoint": (
        "teacher {w}/best_only",
        [r"no checkpoint_final\.pth, but checkpoint_best\.pth", r"give that file itself"],
    ),
    "a fold that is not there": (
        "teacher {w}/sound --folds 0,3",
        [r"no checkpoint_final\.pth in fold_3", r"it has the folds 0"],
    ),
    "a word for a fold": ("teacher {w}/sound --folds first", [r"fold_first", r"it has the folds 0"]),
    "a fold of a teacher that is not there": (
        SOUND + " --teacher-folds 0,3",
        [r"no checkpoint_final\.pth in fold_3", r"it has the folds 0"],
    ),
    "half a download": (
        "teacher {w}/half",
        [r"fold_0/checkpoint_final\.pth is not whole \(half a download\?\)", r"download or copy it again"],
    ),
    "half a zip": ("teacher {w}/half.zip", [r"half\.zip", r"whole|zip", r"again"]),
    "half of the plans": ("teacher {w}/half_plans", [r"plans\.json is not valid JSON", r"copy it again"]),
    "a cascade without its first stage": (
        "teacher {w}/cascade",
        [r"second stage of a cascade", r"its first, .*3d_lowres, is not in", r"copy that folder"],
    ),
    "a bundle without weights": (
        "teacher {w}/bundle_without_weights",
        [r"holds no weights \(models/model\.pt\)", r"download the whole bundle"],
    ),
    "a bundle without its description": (
        "teacher {w}/bundle_without_metadata",
        [r"no configs/metadata\.json", r"download the whole bundle"],
    ),
    "half a graph": ("teacher {w}/half.onnx", [r"half\.onnx (is no whole|cannot be loaded)", r"again"]),
    # parts of different models
    "plans of another network": (
        "teacher {w}/other_plans",
        [
            r"first weight that differs is encoder\.stages\.1\.0\.convs\.0\.conv\.weight",
            r"8 x 4 x 3 x 3 x 3 in the file and 6 x 4 x 3 x 3 x 3 by the plans",
            r"the plans and the checkpoint of one training",
        ],
    ),
    "a trainer with a network of its own": (
        "teacher {w}/own_network",
        [
            r"nnUNetTrainerMamba, whose network is not the plans'",
            r"mamba\.A_log, 3 in the file",
            r"answers as f",
        ],
    ),
    "classes of another model": (
        "teacher {w}/other_classes",
        [r"answers 3 classes, dataset\.json names 2", r"belong together"],
    ),
    "channels of another model": (
        "teacher {w}/other_channels",
        [r"normalises 1 channels, dataset\.json names 2 \(MR, PET\)", r"belong together"],
    ),
    "weights of another bundle": (
        "teacher {w}/bundle_of_two",
        [r"model\.pt lacks .* of UNet", r"are they|belong together"],
    ),
    # what is not known here
    "an unknown normalisation": (
        "teacher {w}/own_normalisation",
        [r"unknown normalisation in .*plans\.json.* 'MyNorm'", r"ZScoreNormalization", r"answers"],
    ),
    "an unknown resampling": (
        "teacher {w}/own_resampling",
        [r"unknown resampling .*'my_resampling'", r"resample_data_or_seg_to_shape", r"answers"],
    ),
    "an unknown preparation": (
        "teacher {w}/own_preprocessor",
        [r"prepared by 'MyPreprocessor', which is not nnU-Net's own", r"answers"],
    ),
    "an unknown network": (
        "teacher {w}/unknown_network",
        [r"unknown network in .*'UMambaBot'", r"PlainConvUNet, ResidualEncoderUNet", r"answers"],
    ),
    "an unknown network of a bundle": (
        "teacher {w}/bundle_of_dints",
        [r"network_def is a DiNTS, which is not among", r"let MONAI run it"],
    ),
    # what would run code
    "a checkpoint that would run something": (
        "teacher {w}/hostile",
        [r"asks for posix\.mkdir, which no weights need", r"nothing was run"],
    ),
    "a zip that leads elsewhere": (
        "teacher {w}/leads_out.zip",
        [r"lie outside of it: \.\./up", r"do not unp"],
    ),
    "scripts of a bundle's own": (
        "teacher {w}/bundle_with_scripts",
        [r"scripts\.networks\.MyNet, a script and no part of MONAI", r"let MONAI run it, and give"],
    ),
    "an expression in a bundle": (
        "teacher {w}/bundle_with_code",
        [r"in_channels is the expression", r"let MONAI run it"],
    ),
    "TorchScript without trust": (
        "teacher {w}/program.ts",
        [r"program\.ts is TorchScript", r"SHA-256 is [0-9a-f]{64}", r"--trust-model [0-9a-f]{64}"],
    ),
    "trust in another program": (
        "predict {w}/program.ts {w}/scans/imagesTr {w}/out --trust-model " + "0" * 64,
        [r"program\.ts is TorchScript", r"--trust-model [0-9a-f]{64}"],
    ),
    "weights without a network": (
        "teacher {w}/weights.pt",
        [r"weights\.pt is no TorchScript", r"weights alone do not say what network"],
    ),
    # cards
    "a graph without a card": (
        "teacher {w}/bare.onnx",
        [r"says nothing of modalities", r"no card bare\.json or", r"write one, such as \{\"modalities\""],
    ),
    "a card that is nowhere": (
        "teacher {w}/bare.onnx --card {w}/no.json",
        [r"no card .*no\.json", r"write one"],
    ),
    "a typo in a card": (
        "teacher {w}/bare.onnx --card {w}/card_typo.json",
        [r"card_typo\.json: the field spacing_cm is unknown", r"known: modalities, labels"],
    ),
    "a card without spacing": (
        "teacher {w}/bare.onnx --card {w}/card_short.json",
        [r"card_short\.json: the field spacing_mm is missing", r"correct the card"],
    ),
    "a card of other classes": (
        "teacher {w}/bare.onnx --card {w}/card_classes.json",
        [r"answers with 2 channels, its card names 3", r"background, liver, spleen"],
    ),
    "a card for a model that says it itself": (
        "teacher {w}/sound --card {w}/card_short.json",
        [r"nnU-Net models have no option 'card'", r"leave it out"],
    ),
    "mirrors for answers": (
        "teacher {w}/answers --mirror",
        [r"answers in files have no option 'mirror'", r"leave it out"],
    ),
    "axes that are none": (
        "teacher {w}/sound --teacher-orientation RAX",
        [r"'RAX' names no three axes", r"RAS|such as"],
    ),
    # answers
    "answers with another grid": (
        DISTIL % "answers_thinner",
        [r"case phantom_\d+: answer has 15 x 16 x 16 voxels, scan 16 x 16 x 16", r"resample"],
    ),
    "answers that lie elsewhere": (
        DISTIL % "answers_moved",
        [r"case phantom_\d+: the headers of answer and scan put the same voxel 5\.0 mm apart", r";"],
    ),
    "cases without an answer": (
        DISTIL % "answers_few",
        [r"answers_few has no answers for \d of \d+ cases: phantom_", r"predict them too, or leave them out"],
    ),
    "answers without names": (
        DISTIL % "answers_unnamed",
        [r"no class in common: the teacher answers for background, label_1", r"--classes"],
    ),
    "answers of a number that no name has": (
        DISTIL % "answers_of_nine",
        [r"holds the label 9, the teacher's are 0, 1", r"name it"],
    ),
    # what the student learns
    "no class in common": (
        DISTIL % "lungs",
        [
            r"and the student have no class in common",
            r"the teacher answers for background, left_lung, right_lung",
            r"the student learns liver, spleen",
            r"--classes kidney=kidney_left\+kidney_right",
        ],
    ),
    "a class that the labels do not know": (
        SOUND + " --classes livr",
        [r"unknown class of Phantom's labels 'livr'", r"did you mean 'liver'"],
    ),
    "a class made of nothing that is known": (
        DISTIL % "lungs" + " --classes liver=left_lung+rigt_lung",
        [r"unknown class of .* 'rigt_lung'", r"did you mean 'right_lung'"],
    ),
    "a class made of nothing": (
        SOUND + " --classes liver=",
        [r"'liver=' names no class", r"write them as in"],
    ),
    "a class twice": (SOUND + " --classes liver,liver", [r"names liver twice", r"once"]),
    "one voxel for two classes": (
        DISTIL % "lungs" + " --classes liver=left_lung,spleen=left_lung+right_lung",
        [r"the classes liver and spleen overlap", r"make them apart"],
    ),
    "a class taken away": (
        DISTIL % "lungs" + " --classes liver=left_lung-right_lung",
        [r"takes a class away", r"join classes with \+ only"],
    ),
    "modalities that are not clear": (
        DISTIL % "ct_and_pet",
        [r"is shown CT, PET; the dataset has MR", r"--teacher-modalities CT,PET"],
    ),
    "a modality that the dataset has not": (
        SOUND + " --teacher-modalities CT",
        [r"--teacher-modalities CT", r"is shown MR; the dataset has MR"],
    ),
    "unlabelled scans that are nowhere": (
        SOUND + " --unlabelled {w}/nowhere",
        [r"no scan or folder .*nowhere", r"path"],
    ),
    "an unlabelled scan that judges": (
        SOUND + " --unlabelled {w}/scans/imagesTr/phantom_000_0000.nii.gz",
        [r"phantom_000 is the name of a case of Phantom and of a scan without a label", r"rename"],
    ),
    "answers of a third kind": (SOUND + " --answers sharp", [r"'sharp'", r"soft, hard"]),
    "an ablation that is none": (
        SOUND + " --recipe distil_soft",
        [r"unknown recipe 'distil_soft'", r"distil"],
    ),
    "a temperature of nothing": (SOUND + " --temperature 0", [r"temperature is 0", r"above 0"]),
    "no time to learn": (SOUND + " --minutes -1", [r"-1\.0 minutes", r"above 0"]),
    "a recipe without its teacher": (
        "train distil --data {w}/scans --steps 1 --runs {w}/runs --cache {w}/cache",
        [r"no teacher is named", r"--teacher MODEL"],
    ),
    "a confidence that nothing has": (SOUND + " --confidence 1", [r"confidence is 1", r"0 to below 1"]),
    "answers of no weight": (SOUND + " --answer-weight 0", [r"weight of the answers is 0", r"above 0"]),
}
