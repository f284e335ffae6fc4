/** The words of this browser's language, made once. */

import { Names } from "./names";
import { Numbers } from "./numbers";
import { Times } from "./times";

export const numbers = new Numbers();
export const names = new Names();
export const times = new Times();
