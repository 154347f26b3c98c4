"""The names of COCO's categories by number. Ten numbers were given up before the data were published."""

from __future__ import annotations

UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
NAMES = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)


def coco_classes() -> tuple[str, ...]:
    """Returns a name for each of the numbers 1 to 90; unused ones are named by their number.

    Lin et al. 2014, https://arxiv.org/abs/1405.0312, and the annotation files of 2014 and 2017.

    >>> coco_classes()[0], coco_classes()[11], coco_classes()[89]
    ('person', 'number 12', 'toothbrush')
    """
    used = iter(NAMES.split(","))
    return tuple(f"number {number}" if number in UNUSED else next(used) for number in range(1, 91))
