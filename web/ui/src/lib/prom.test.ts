import { expect, test } from "vitest";
import { align, grid, outerLinks, quote, sum, wholeDisks } from "./prom";

test("grid is aligned to the step", () => {
  expect(grid(101, 130, 10)).toEqual([110, 120, 130]);
  expect(grid(5, 4, 1)).toEqual([]);
});

test("align leaves holes and drops what is not finite", () => {
  const s = align(
    [
      {
        metric: { a: "1" },
        values: [
          [10, "1.5"],
          [30, "+Inf"],
          [40, "NaN"],
          [99, "7"],
        ],
      },
    ],
    [10, 20, 30, 40],
  );
  expect(s).toEqual([{ labels: { a: "1" }, values: [1.5, null, null, null] }]);
});

test.each([
  [["vda", "vda1", "vda15", "loop0"], ["vda"]],
  [["nvme0n1", "nvme0n1p1", "nvme1n1"], ["nvme0n1", "nvme1n1"]],
  [["sda", "sda1", "dm-0", "sdaa"], ["sda", "sdaa"]],
  [["dm-0"], ["dm-0"]],
  [["mmcblk0", "mmcblk0p1", "mmcblk1"], ["mmcblk0", "mmcblk1"]],
])("whole disks of %j", (names, want) => expect(wholeDisks(names)).toEqual(want));

test.each([
  [["lo", "eth0", "veth12", "all"], ["eth0"]],
  [["lo", "all"], ["lo"]],
])("outer links of %j", (names, want) => expect(outerLinks(names)).toEqual(want));

test("sum keeps holes that all share", () => {
  const s = (values: (number | null)[]) => ({ labels: {}, values });
  expect(sum([s([1, null, null]), s([2, 3, null])], 3)).toEqual([3, 3, null]);
});

test("quote", () => {
  expect(quote('a"b\\c\n')).toBe('"a\\"b\\\\c\\n"');
});
