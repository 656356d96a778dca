"""The transfer study: does GTV pre-training help IGTV with few labels, and does slice interaction help at the ends?"""
