"""What goes wrong in the first hour: the command typed, and what its one line must say.

`{w}` is the world of world.py. Each pattern is a regular expression that the line must hold: what is wrong
and where, what came or was expected, and what to do.
"""

from __future__ import annotations

TRAIN = (
    "train supervised --data {w}/good --plan {w}/plan.json --steps 1 --runs {w}/new_runs --cache {w}/cache"
    " --network-option filters=[4,8,8] --precision 32-true --validations 1"
)
DISTIL = TRAIN.replace("supervised", "dual_self_distillation") + " --no-control"
OF = "train supervised --steps 1 --runs {w}/new_runs --cache {w}/cache --data {w}"

CATALOGUE: dict[str, tuple[str, list[str]]] = {
    # the command line itself
    "unknown command": ("trian", [r"no such command 'trian'", r"train", r"distilseg --help"]),
    "missing argument": ("check", [r"missing argument", r"distilseg check --help"]),
    "missing data": ("train supervised --steps 1", [r"missing option '--data'", r"train supervised --help"]),
    "unknown option": (
        TRAIN + " --leaning-rate 1",
        [r"--leaning-rate", r"did you mean '--learning-rate'", r"known: .*--seed"],
    ),
    "option of another recipe": (
        TRAIN + " --temperature 2",
        [r"unknown option '--temperature'", r"known: --network,"],
    ),
    "a word for a number": (TRAIN + " --steps abc", [r"'--steps'", r"integer", r"not 'abc'", r"--help"]),
    "a word for an axis": (TRAIN + " --flip-axes left", [r"--flip-axes 'left'", r"numbers", r"32,48,32"]),
    "negative seed": (TRAIN + " --seed -1", [r"'--seed'", r"equal to 0, not '-1'"]),
    "no recipe": ("train --data {w}/good", [r"the recipe comes first", r"distilseg recipes"]),
    "an axis without end": ("plan {w}/good --patch inf,16,16", [r"--patch 'inf,16,16'", r"32,48,32"]),
    "a spacing that is no number": ("plan {w}/good --spacing nan,1,1", [r"--spacing 'nan,1,1'", r"numbers"]),
    # datasets
    "no such folder": ("plan {w}/nowhere", [r"no dataset at .*nowhere", r"correct the path"]),
    "nothing in it": ("check {w}/nothing", [r"nothing holds no dataset", r"dataset\.json"]),
    "one level up": ("plan {w}/outer", [r"did you mean .*inner"]),
    "unknown layout": ("plan {w}/good --layout nnunt", [r"unknown layout 'nnunt'", r"did you mean 'nnunet'"]),
    "invalid dataset.json": (
        "plan {w}/bad_json",
        [r"bad_json/dataset\.json is not valid JSON", r"line 1", r"repair"],
    ),
    "labels without names": ("plan {w}/no_labels", [r"names no labels", r"add \"labels\""]),
    "no background": ("plan {w}/no_background", [r"no_background", r"background", r"add the label 0"]),
    "no cases": ("plan {w}/no_cases", [r"no_cases.* no labelled case", r"add them"]),
    "too few cases": (OF + "/few_cases", [r"2 patient\(s\) cannot be dealt into 3 parts", r"add cases"]),
    "a file is missing": (
        OF + "/missing_file",
        [r"phantom_003", r"missing|no such file|not there", r"restore|path|check"],
    ),
    "a truncated image": (OF + "/truncated", [r"phantom_003", r"trunca|too early|ends", r";"]),
    "a label that no class is named for": (
        OF + "/wrong_value",
        [r"phantom_003", r"\b9\b", r"remap|correct|label"],
    ),
    "label values with fractions": (OF + "/fractional", [r"phantom_003", r"0\.5|whole", r";"]),
    "image and label differ in shape": (
        OF + "/other_shape",
        [r"phantom_003", r"17", r"20", r"distilseg check"],
    ),
    "a header with two voxel sizes": (
        OF + "/two_sizes",
        [r"phantom_003", r"two voxel sizes: 2, 2, 2 mm .* 1, 1, 1 mm", r"which is true"],
    ),
    "a gantry tilt": (
        OF + "/tilted",
        [r"phantom_003", r"sheared: its axes lean up to 26\.6 degrees", r"resample it"],
    ),
    "a spacing in another unit": (
        "plan {w}/in_other_unit",
        [r"phantom_003", r"spacing 1000, 1000, 1000 mm, 0\.0001 to 100 mm", r"true voxel size"],
    ),
    "a file that promises more than it can hold": (
        "plan {w}/promises",
        [r"phantom_003", r"2000 x 2000 x 2000 voxels", r"correct"],
    ),
    "voxels that are no numbers": (
        OF + "/not_finite",
        [r"phantom_003", r"NaN or infinite", r"distilseg check"],
    ),
    "a dataset whose name leads elsewhere": (
        OF + "/name_of_a_path",
        [r"the dataset name '\.\./elsewhere'", r"holds /", r"letters, digits"],
    ),
    "a case whose name leads elsewhere": (
        "check {w}/case_of_a_path.csv",
        [r"the case name '\.\./up'", r"holds /", r"give it another"],
    ),
    "one file under two cases": (
        OF + "/file_twice.csv",
        [
            r"one file belongs to two cases",
            r"phantom_000\.nii\.gz to a, .*phantom_000\.nii\.gz to b",
            r"patient",
        ],
    ),
    "one patient in two spellings": (
        OF + "/patient_twice.csv",
        [r"patient names 'P1' \(case a\) and 'p1' \(case b\)", r"differ by case", r"of its own"],
    ),
    "a case that is listed twice": (
        OF + "/case_twice.csv",
        [
            r"the case name 'phantom_000' stands twice",
            r"phantom_000\.nii\.gz and .*phantom_001",
            r"of its own",
        ],
    ),
    "two classes of one name": (
        "plan {w}/classes_of_one_name",
        [r"class name 'left' stands twice", r"value 1 and the value 2", r"of its own"],
    ),
    "a key that stands twice": ("check {w}/key_twice", [r"names 'name' twice", r"keep one"]),
    "a copy into the dataset": (
        "check {w}/fractional --fix {w}/fractional/copy",
        [r"would lie in the dataset", r"elsewhere"],
    ),
    # plans
    "a patch that no case fills": (
        "plan {w}/good --patch 64,64,64",
        [r"64x64x64", r"largest has 20", r"at most"],
    ),
    "a patch that is none": ("plan {w}/good --patch 16,16", [r"patch \[16, 16\]", r"three numbers"]),
    "a size of memory that is none": (
        "plan {w}/good --max-memory 1XB",
        [r"'1XB' is no size of memory", r"1GiB"],
    ),
    "measured for nothing": ("plan {w}/good --measure-again", [r"without a budget", r"--max-seconds or"]),
    "a time below zero": ("plan {w}/good --max-seconds -1", [r"-1 s", r"--max-seconds above 0"]),
    "a patch in words": ("plan {w}/good --patch big", [r"--patch 'big'", r"32,48,32"]),
    "too many levels": (
        "plan {w}/good --patch 16,16,16 --levels 6",
        [r"16x16x16 cannot carry 6 levels", r"use 4 levels"],
    ),
    "a modality that is none": (
        "plan {w}/good --normalisation CT=minmax",
        [r"unknown modality.* 'CT'", r"known: MR"],
    ),
    "a normalisation that is none": (
        "plan {w}/good --normalisation minmx",
        [r"unknown normalisation of MR 'minmx'", r"'minmax'"],
    ),
    "a typo in the plan": (
        TRAIN + " --plan {w}/plan_typo.json",
        [r"plan_typo\.json: the field pach is unknown", r"patch"],
    ),
    "a plan that is no JSON": (
        TRAIN + " --plan {w}/plan_broken.json",
        [r"plan_broken\.json is not valid JSON", r"repair"],
    ),
    "no plan": (TRAIN + " --plan {w}/no_plan.json", [r"no plan at .*no_plan\.json", r"distilseg plan"]),
    "a patch that strides do not divide": (
        TRAIN + " --plan {w}/plan_indivisible.json",
        [r"axis 0 has 18 voxels", r"use 16"],
    ),
    "a bottleneck of one voxel": (
        TRAIN + " --plan {w}/plan_bottleneck.json",
        [r"bottleneck of one voxel", r"at least 8"],
    ),
    "a patch larger than every case": (
        TRAIN + " --plan {w}/plan_too_large.json",
        [r"64x16x16: no case fills", r"at most 20"],
    ),
    "a plan for another dataset": (
        TRAIN + " --plan {w}/plan_other_modality.json",
        [r"modalities CT", r"has MR", r"distilseg plan"],
    ),
    "a negative spacing": (
        TRAIN + " --plan {w}/plan_negative.json",
        [r"spacing_mm", r"-1", r"greater than 0"],
    ),
    # splits
    "a split with a stranger": (
        TRAIN + " --split {w}/split_stranger.json",
        [r"validation names the case 'nobody'", r"another dataset"],
    ),
    "a split that leaks": (
        TRAIN + " --split {w}/split_overlap.json",
        [r"'phantom_003' is in both train and validation", r"one side"],
    ),
    "a split without training": (
        TRAIN + " --split {w}/split_no_train.json",
        [r"train is empty", r"at least one"],
    ),
    "a split without validation": (
        TRAIN + " --split {w}/split_no_validation.json",
        [r"0 to validate", r"at least one"],
    ),
    "no such fold": (TRAIN + " --folds 4 --fold 4", [r"fold 4 is none of 4", r"0 to 3"]),
    "a fold of nothing": (TRAIN + " --fold 1", [r"fold 1", r"--folds 5"]),
    "more folds than cases": (TRAIN + " --folds 99", [r"8 patient", r"99 folds", r"2 to 8"]),
    "scans without labels and no teacher": (
        TRAIN + " --subjects 1 --unlabelled rest",
        [r"supervised learns nothing from scans without labels", r"no teacher", r"leave out --unlabelled"],
    ),
    "no such teacher": (
        TRAIN.replace("supervised", "kd_net") + " --alpha 0 --teacher {w}/nowhere",
        [r"there is no teacher at .*nowhere", r"correct the path"],
    ),
    "no such teacher among several": (
        OF.replace("supervised", "teach_former") + "/good --teachers {w}/nowhere",
        [r"there is no teacher at .*nowhere", r"correct the path"],
    ),
    "features of a teacher that gives answers": (
        TRAIN.replace("supervised", "kd_net")
        + " --teacher {w}/good/labelsTr"
        + " --classes liver=label_1,spleen=label_2,kidney=label_3,vessel=label_4,lesion=label_5",
        [r"labelsTr is recorded and shows no bottleneck", r"--alpha 10", r"--alpha 0"],
    ),
    "options of a teacher that is not there": (
        TRAIN.replace("supervised", "kd_net") + " --teacher-folds 0",
        [r"--teacher-folds is of a teacher that others trained, none is named", r"leave that option out"],
    ),
    "more subjects than cases": (TRAIN + " --subjects 99", [r"99", r"\b[456]\b", r";"]),
    # recipes and networks
    "unknown recipe": (
        "train dual_self_destilation --data {w}/good",
        [r"unknown recipe", r"did you mean 'dual_self_distillation'"],
    ),
    "unknown paper": (
        "recipes --paper kdnet",
        [r"unknown paper 'kdnet'", r"did you mean 'kd_net'", r"known: dual_self_distillation, kd_net"],
    ),
    "a recipe's file that is missing": ("train mine.py:best --data {w}/good", [r"no file mine\.py", r"path"]),
    "a recipe that a file has not": (
        "train {w}/empty.py:best --data {w}/good",
        [r"empty\.py has no recipe 'best'", r"`study`"],
    ),
    "a file that is no Python": ("recipes {w}/not_python.py:best", [r"not_python\.py", r"line 1", r"repair"]),
    "a choice that is none": (
        "train dual_self_distillation --data {w}/good --teacher deep",
        [r"--teacher 'deep'", r"did you mean 'deepest'", r"reversed"],
    ),
    "unknown network": (
        TRAIN.replace("filters=[4,8,8]", "a=1") + " --network dynunt",
        [r"unknown network 'dynunt'", r"'dynunet'"],
    ),
    "unknown network option": (
        TRAIN + " --network-option filter=3",
        [r"unknown option of dynunet 'filter'", r"'filters'"],
    ),
    "a network option without value": (
        TRAIN + " --network-option filters",
        [r"'filters' has no value", r"option=value"],
    ),
    "a network option of a wrong kind": (
        TRAIN + " --network-option filters=many",
        [r"filters is 'many'", r"default"],
    ),
    "a network that cannot take the patch": (
        OF + "/good --plan {w}/plan.json --network swin_unetr --precision 32-true",
        [r"swin_unetr cannot take a patch of 16x16x16", r"works is 32x32x64|works is \d+x\d+x\d+"],
    ),
    "networks of one axis": ("networks --patch 64", [r"patch \[64\]", r"2 or 3"]),
    "a network option of nothing": (
        TRAIN.replace("[4,8,8]", "[0,8,8]"),
        [r"filters is \[0, 8, 8\], expected .*above 0", r"default"],
    ),
    "a network of ones own that fails": (
        "networks {w}/my_network.py:flat",
        [r"my_network\.py:flat fails on a patch of 64x64x64", r"mend it"],
    ),
    # training
    "no budget": (TRAIN + " --steps 0", [r"the budget is 0 steps", r"above 0"]),
    "negative minutes": (TRAIN + " --minutes -1", [r"-1\.0 minutes", r"above 0"]),
    "unknown device": (TRAIN + " --device gpu", [r"unknown device 'gpu'", r"known: auto, cpu, cuda, mps"]),
    "no such device here": (TRAIN + " --device mps", [r"no mps device", r"--device cpu"]),
    "unknown precision": (TRAIN + " --precision fp16", [r"unknown precision 'fp16'", r"16-mixed"]),
    "unknown augmentation": (
        TRAIN + " --augmentation lihgt",
        [r"unknown augmentation 'lihgt'", r"did you mean 'light'"],
    ),
    "unknown schedule": (
        TRAIN + " --schedule cosin",
        [r"unknown schedule 'cosin'", r"did you mean 'cosine'"],
    ),
    "unknown optimizer": (TRAIN + " --optimizer adamm", [r"unknown optimizer 'adamm'", r"adam"]),
    "an average that never moves": (TRAIN + " --ema 1", [r"decay of averaged weights is 1", r"below 1"]),
    "a temperature of nothing": (
        DISTIL + " --temperature 0",
        [r"temperature is 0", r"above 0"],
    ),
    "a weight below nothing": (DISTIL + " --alpha -1", [r"weight of the term 'encoder' is -1", r"from 0"]),
    "a weight that is no number": (
        DISTIL + " --beta nan",
        [r"weight of the term 'decoder' is nan", r"from 0"],
    ),
    "a demo of no time": ("demo --minutes 0 --data {w}/good --out {w}/demo", [r"0\.0 minutes", r"above 0"]),
    "an axis that is none": (TRAIN + " --flip-axes 3", [r"flip.axes|axis", r"\b3\b", r"0, 1|0 to 2"]),
    "runs where a file lies": (
        TRAIN + " --runs {w}/a_file --seed 3",
        [r"a_file", r"[Nn]ot a directory|File exists", r";"],
    ),
    # runs
    "no run": ("compare {w}/nothing", [r"nothing is not a run folder", r"distilseg train"]),
    "a run that is nowhere": (
        "predict {w}/nowhere {w}/scans {w}/out",
        [r"there is no .*nowhere", r"a run folder, or an artefact"],
    ),
    "no run to predict with": (
        "predict {w}/good {w}/scans {w}/out",
        [r"good is neither a run nor a folder that holds finished runs", r"distilseg train"],
    ),
    "an unfinished run": (
        "compare {w}/run_good {w}/unfinished",
        [r"unfinished is not finished", r"it resumes"],
    ),
    "a run that was not judged": (
        "report {w}/unjudged",
        [r"unjudged has no test results", r"distilseg evaluate"],
    ),
    "runs of two datasets": (
        "compare {w}/run_good {w}/run_two",
        [r"different datasets", r"one dataset at a time|at a time"],
    ),
    "a run without weights": (
        "predict {w}/untrained {w}/scans {w}/out",
        [r"untrained", r"no trained weights", r"resumes"],
    ),
    "weights that are damaged": (
        "predict {w}/damaged {w}/scans {w}/out",
        [r"damaged/best\.safetensors", r";"],
    ),
    "weights that are none": (
        "predict {w}/run_good {w}/scans {w}/out --weights beste",
        [r"unknown weights 'beste'", r"best"],
    ),
    "a dataset that moved": ("evaluate {w}/moved", [r"elsewhere", r"--data|correct the path"]),
    "a case that is none": (
        "evaluate {w}/run_good --cases phantom_99",
        [r"unknown case .* 'phantom_99'", r"did you mean"],
    ),
    "a metric that is none": ("compare {w}/run_good --metrics dise", [r"unknown metric 'dise'", r"'dice'"]),
    "a page where a folder is": (
        "report {w}/run_good --out {w}/nothing",
        [r"/nothing: .*directory", r"path"],
    ),
    # evaluation of folders
    "folders that differ in shape": (
        "evaluate {w}/references {w}/smaller",
        [r"case case_1", r"\(20, 20, 20\)", r"\(16, 16, 16\)", r"own grid"],
    ),
    "label maps that differ by their ending": (
        "evaluate {w}/references {w}/twins",
        [r"the file name 'sound' stands twice", r"sound\.nii and .*sound\.nii\.gz", r"of its own"],
    ),
    "folders that lie apart": (
        "evaluate {w}/references {w}/shifted",
        [r"case case_1", r"5 mm off", r"own grid"],
    ),
    "folders without a common name": (
        "evaluate {w}/references {w}/renamed",
        [r"case_1", r"other_1", r"rename"],
    ),
    "a folder that is none": (
        "evaluate {w}/references {w}/nowhere",
        [r"no folder .*nowhere", r"two folders"],
    ),
    "labels that are no numbers": (
        "evaluate {w}/references {w}/references --labels liver=1",
        [r"'liver' is no label value", r"1=anterior"],
    ),
    "a convention that is none": (
        "evaluate {w}/references {w}/references --empty zero",
        [r"unknown convention", r"brats"],
    ),
    "a unit that is none": ("evaluate {w}/references {w}/references --unit cm", [r"unknown unit", r"voxel"]),
    "a way to score that is none": (
        "evaluate {w}/references {w}/references --by slices",
        [r"unknown way to score 'slices'", r"'slice'"],
    ),
    "an axis across slices that is none": (
        "evaluate {w}/references {w}/references --by slice --slice-axis 3",
        [r"no slice axis 3", r"0, 1 or 2"],
    ),
    "slices of a run that were not judged": (
        "compare {w}/run_good --by slice",
        [r"no rows in by-slice/metrics\.csv", r"--by slice`"],
    ),
    # prediction
    "no such scan": (
        "predict {w}/run_good {w}/nowhere.nii.gz {w}/out",
        [r"no scan or folder .*nowhere", r"path"],
    ),
    "nowhere to write": ("predict {w}/run_good {w}/scans", [r"where to write", r"RUN SCAN OUT"]),
    "no scan at all": ("predict {w}/run_good {w}/nothing {w}/out", [r"no scan in .*nothing", r"\.nii\.gz"]),
    "many scans into one file": (
        "predict {w}/run_good {w}/scans {w}/out.nii.gz",
        [r"one file", r"name a folder"],
    ),
    "out is a file": (
        "predict {w}/run_good {w}/scans/sound.nii.gz {w}/a_file",
        [r"a_file", r"cannot be written", r"another place"],
    ),
    # files of one's own
    "a method that breaks its contract": (
        "check {w}/my_method.py",
        [r"Careless breaks its contract|Careless fails", r"scalar"],
    ),
    "a network that fails": ("check {w}/my_network.py", [r"my_network\.py: flat", r"fails|breaks|shape"]),
    "a file without anything": ("check {w}/empty.py", [r"holds no method and no network", r"subclass"]),
    "a dataset that cannot be fetched": (
        "fetch hippocampos",
        [r"unknown dataset to fetch", r"did you mean 'hippocampus'"],
    ),
}

# `predict` goes on with the other scans: exit 1, and a line for each scan that was refused.
REFUSED: dict[str, tuple[str, list[str]]] = {
    "a name longer than a label map's can be": (
        "predict {w}/run_good {w}/long {w}/out_of_long",
        [r"the case name 'x+\.\.\.'", r"201 bytes with its ending", r"give it another"],
    ),
    "two scans that differ by their ending": (
        "predict {w}/run_good {w}/twins {w}/out_of_twins",
        [r"the case name 'sound' stands twice", r"sound\.nii and .*sound\.nii\.gz", r"of its own"],
    ),
    "a 2D image": (
        "predict {w}/run_good {w}/scans/flat.nii.gz {w}/out",
        [r"case flat", r"single slice \[20, 20, 1\]", r"one 3D scan"],
    ),
    "a 4D image": (
        "predict {w}/run_good {w}/scans/film.nii.gz {w}/out",
        [r"case film", r"4D \[20, 20, 20, 3\]", r"one 3D scan"],
    ),
    "a truncated scan": (
        "predict {w}/run_good {w}/scans/cut.nii.gz {w}/out",
        [r"case cut", r"trunca|ends|too early"],
    ),
    "a scan of a gantry tilt": (
        "predict {w}/run_good {w}/tilted/imagesTr/phantom_003.nii.gz {w}/out",
        [r"case phantom_003", r"sheared", r"gantry", r"one 3D scan"],
    ),
    "a text file": ("predict {w}/run_good {w}/scans/text.nii.gz {w}/out", [r"case text", r"text\.nii\.gz"]),
    "a modality is missing": (
        "predict {w}/run_two {w}/two/imagesTr/phantom_000_0000.nii.gz {w}/out",
        [r"case phantom_000", r"expects 2 3D scans", r"CT, MR", r"_0001 \(MR\)"],
    ),
}
