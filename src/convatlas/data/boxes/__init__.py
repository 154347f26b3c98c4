"""Images with boxes: the truth of an image, its sources (VOC, COCO, YOLO), and batches of it for a detector."""
