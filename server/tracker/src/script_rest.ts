/** The part of the classic script that comes after `load`. */

import { rest } from "./rest";

rest(window.footfall!.x!);
